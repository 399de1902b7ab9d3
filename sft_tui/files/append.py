"""Appends lines to a file, each whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def append_line(path: Path, line: str) -> None:
    """Append one line with one write; a new file has mode 0600. One process alone may write it. Raises OSError."""
    data = (line + "\n").encode("utf-8")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):  # the disk had room for a part
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
