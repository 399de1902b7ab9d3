"""Recognises the note that Git LFS leaves in place of a big file."""

from __future__ import annotations

from pathlib import Path

LFS_START = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is such a note. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(len(LFS_START)) == LFS_START
