"""Opens a file for reading only where it is a regular one: a FIFO, a device or a socket would hold up whoever reads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sft_tui.errors import InvalidInputError

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class NotRegularError(InvalidInputError):
    """The path is there, but it is a folder, a FIFO, a device or a socket."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(f"{path} is {describe_kind(mode)}, not a file.", "Give the path of a regular file.")


def open_regular(path: Path) -> int:
    """A descriptor for reading; it never blocks. Raises NotRegularError, OSError."""
    # looked at before as well: to open a device, or the other end of somebody's FIFO, may already do something
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, mode)
    handle = os.open(path, _FLAGS)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise NotRegularError(path, mode)
    return handle


def describe_kind(mode: int) -> str:
    """What a file is by its `st_mode`: `a folder`, `a FIFO`."""
    kinds = (
        (stat.S_ISREG, "a file"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a link"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
    )  # fmt: skip
    return next((name for is_kind, name in kinds if is_kind(mode)), "no file")
