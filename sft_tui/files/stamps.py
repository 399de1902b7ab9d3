"""Takes size and mtime of files, and tells whether they are unchanged: the one way to know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional, Tuple

Signature = Dict[str, Tuple[int, int]]  # size and mtime in nanoseconds of each file
Signatures = Dict[str, Signature]  # of each path
# name, size, mtime and ctime in nanoseconds, and inode of each file: for as long as a process lives
Stamp = Tuple[Tuple[str, int, int, int, int], ...]


def signature(path: Path) -> Signature:
    """Size and mtime of a file, or of every file in a folder (hidden ones left out); empty where nothing is."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if not _is_hidden(p.relative_to(path)) and p.is_file())
    else:
        files = [path] if path.is_file() else []
    result = {}
    for file in files:
        status = file.stat()
        result[str(file.relative_to(path)) if file != path else file.name] = (status.st_size, status.st_mtime_ns)
    return result


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def stamp(path: Path) -> Optional[Stamp]:
    """Of a file, or of the files in a folder (not below it); None where there is none, or none that may be seen."""
    try:
        if not path.is_dir():
            return (_stamp_of(path.name, path.stat()),)
        with os.scandir(path) as entries:
            return tuple(sorted(_stamp_of(entry.name, entry.stat()) for entry in entries if entry.is_file()))
    except (OSError, ValueError):
        return None


def _stamp_of(name: str, status: os.stat_result) -> Tuple[str, int, int, int, int]:
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
