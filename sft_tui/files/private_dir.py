"""Makes folders that the user alone can read."""

from __future__ import annotations

from pathlib import Path


def make_private_dir(folder: Path) -> None:
    """Create the folder, and those above it that are missing, with mode 0700. Raises OSError."""
    if folder.is_dir():
        return
    make_private_dir(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
