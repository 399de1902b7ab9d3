"""What an attack is given: chance by a seed, a folder that goes away, and a tally of what held."""

from __future__ import annotations

import os
import random
import tempfile
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator


@dataclass
class Row:
    tried: int = 0
    held: int = 0
    longest: float = 0.0
    first_failure: str = ""


@dataclass
class Frame:
    """One part's. SFT_TUI_HOME, XDG_RUNTIME_DIR and TMPDIR are below `folder` as long as it is open."""

    part: str
    seed: int
    rounds: int
    rows: dict[str, Row] = field(default_factory=dict)

    def __enter__(self) -> Frame:
        self.chance = random.Random(f"{self.seed} {self.part}")
        self._held = tempfile.TemporaryDirectory(prefix="attack-")
        self.folder = Path(self._held.name)
        self._before = dict(os.environ)
        for name, place in (("SFT_TUI_HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")):
            (self.folder / place).mkdir(mode=0o700)
            os.environ[name] = str(self.folder / place)
        return self

    def __exit__(self, *_error: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)
        self._held.cleanup()

    @contextmanager
    def trial(self, name: str, within: float = float("inf"), about: str = "") -> Iterator[None]:
        """It holds where the block raises nothing and takes no longer than `within` seconds; `about`: what was done."""
        row = self.rows.setdefault(name, Row())
        row.tried += 1
        begun = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every failure is a row of the table
            place = traceback.extract_tb(error.__traceback__)[-1]
            row.first_failure = (
                row.first_failure or f"{about}: {str(error)[:160]!r} ({Path(place.filename).name}:{place.lineno})"
            )
            return
        finally:
            row.longest = max(row.longest, time.monotonic() - begun)
        took = time.monotonic() - begun
        if took > within:
            row.first_failure = row.first_failure or f"{about}: {took:.2f} s, of {within:g} at most"
        else:
            row.held += 1

    def count(self, name: str, tried: int, held: int) -> None:
        """Add what was tried and counted elsewhere."""
        row = self.rows.setdefault(name, Row())
        row.tried += tried
        row.held += held

    @property
    def all_held(self) -> bool:
        return all(row.held == row.tried for row in self.rows.values())

    def table(self) -> str:
        width = max((len(name) for name in self.rows), default=0)
        lines = [f"{self.part}:"]
        for name, row in sorted(self.rows.items()):
            failure = f"  {row.first_failure}" if row.first_failure else ""
            lines.append(f"  {name:{width}}  held {row.held:4} of {row.tried:4}, longest {row.longest:6.2f} s{failure}")
        return "\n".join(lines)
