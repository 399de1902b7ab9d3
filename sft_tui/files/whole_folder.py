"""Writes a folder whole, or several files that belong together, as `whole_file` does one file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional, Sequence

from sft_tui.files.whole_file import PartialFile, naming, sync_folder


class PartialFolder(PartialFile):
    """A folder on its way, or one for files that are to stand beside it. Raises EnvironmentNotFitError."""

    def __init__(self, target: Path) -> None:
        with naming(target):
            super().__init__(target, 0o777, locked=True)

    def _create(self, mode: int) -> int:
        self.path.mkdir(mode, parents=True)
        return os.open(self.path, os.O_RDONLY)

    def publish(self) -> None:
        """Take the target's place, for good; what was there before goes once that is done. Files in it are synced."""
        with naming(self.target):
            self.sync()
            old: Optional[Path] = None
            if self.target.exists():
                old = self.path.with_suffix(".old")
                self.target.replace(old)
            self.path.replace(self.target)
            sync_folder(self.target.parent)
            if old is not None:
                shutil.rmtree(old)

    def sync_files(self, names: Sequence[str]) -> None:
        """Bring files in it to the disk. Raises OSError."""
        for name in names:
            with (self.path / name).open("rb") as stream:
                os.fsync(stream.fileno())

    def publish_files(self, names: Sequence[str]) -> None:
        """Move synced files out of it, beside it; for good once that folder is synced. Raises OSError."""
        for name in names:
            (self.path / name).replace(self.target.with_name(name))
