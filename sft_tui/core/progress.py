"""How far a long piece of work has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units (`total` 0: not known). `unit` is "bytes", "records" or "rows"."""

    done: int
    total: int
    unit: str
    label: str = ""


ProgressCallback = Callable[[Progress], None]


def no_progress(_progress: Progress) -> None:
    """A callback for callers that do not watch."""
