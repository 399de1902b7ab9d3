"""A user who has rehearsed: trained once, and put back as it was for each test that goes on from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

ROOT = Path(__file__).parents[3]
ONE, TWO, TWO_TRAINED = "one worker", "two workers", "two workers, trained"
# of a rehearsal with two workers the training alone: evaluations run with one worker, as in the other
TRAIN_WITH_TWO = """
import sys
from pathlib import Path
from sft_tui.__main__ import main
from sft_tui.demo.rehearsal import prepare_rehearsal

name = prepare_rehearsal(Path(sys.argv[1]), "llama", workers=2)
sys.argv[1:] = ["run", name, "--until", "train"]
sys.exit(main())
"""


class Rehearsals:
    """The home of that user; after each rehearsal what it has left is kept beside it."""

    def __init__(self, folder: Path) -> None:
        self.home, self._kept = folder / "home", folder / "kept"
        self.said: dict[str, subprocess.CompletedProcess[str]] = {}

    def bring(self, stage: str) -> None:
        """The home as it was after this rehearsal, which is done at first if it has to be."""
        if stage in self.said:
            shutil.rmtree(self.home, ignore_errors=True)
            shutil.copytree(self._kept / stage, self.home, symlinks=True)
        elif stage == ONE:
            self.home.mkdir(exist_ok=True)
            self._rehearse(stage)
        else:
            self.bring(ONE)
            (self.home / "demo/work/weights/llama.ckpt").unlink()  # an output that is gone is made again
            if stage == TWO:
                self._rehearse(stage, "--workers", "2")
            else:
                self._run(stage, "-c", TRAIN_WITH_TWO, str(self.home / "demo"))
        assert self.said[stage].returncode == 0, self.said[stage].stdout + self.said[stage].stderr

    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "SFT_TUI_HOME": str(self.home / "sft-tui")}

    def _rehearse(self, stage: str, *flags: str) -> None:
        self._run(stage, "-m", "sft_tui", "demo", str(self.home / "demo"), "--headless", *flags)

    def _run(self, stage: str, *arguments: str) -> None:
        self.said[stage] = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        shutil.copytree(self.home, self._kept / stage, symlinks=True)


@pytest.fixture(scope="session")
def rehearsals(tmp_path_factory: pytest.TempPathFactory) -> Rehearsals:
    return Rehearsals(tmp_path_factory.mktemp("rehearsals"))


@pytest.fixture
def rehearsed(home: Path, rehearsals: Rehearsals, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`rehearsed(ONE)` gives the home of that user, in place of the test's own."""

    def bring(stage: str) -> Path:
        rehearsals.bring(stage)
        for name, value in rehearsals.environment().items():
            monkeypatch.setenv(name, value)
        return rehearsals.home

    return bring
