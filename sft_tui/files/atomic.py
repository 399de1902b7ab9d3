"""Writes small files so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from sft_tui.files.whole_file import sync_folder


def make_private_dir(folder: Path) -> None:
    """Create the folder, and those above it that are missing, readable by the user alone."""
    if folder.is_dir():
        return
    make_private_dir(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_atomic(path: Path, text: str) -> None:
    """Replace the file's content: temporary file beside it, fsync, rename, fsync of the folder. Mode 0600.

    Raises OSError (a full disk among others); the old content is then still there.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line with one write, whole or not at all. Only one process may write the file. Raises OSError."""
    data = (line + "\n").encode("utf-8")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):  # the disk had room for a part
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
