"""Appends lines to a file, each whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from sft_tui.files.regular_file import describe_kind


def append_line(path: Path, line: str) -> None:
    """Append one line with one write; a new file has mode 0600. One process alone may write it. Raises OSError."""
    data = (line + "\n").encode("utf-8")
    # what stands there instead of a file must not make us wait
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, f"it is {describe_kind(status.st_mode)}, not a file", str(path))
        before = status.st_size
        if os.write(descriptor, data) != len(data):  # the disk had room for a part
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
