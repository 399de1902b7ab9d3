"""Follows a growing log by byte offset."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 1 << 20  # a line that never ends is cut here
READ_AT_MOST = 1 << 20  # bytes a call, so that a flood does not fill the memory
CUT_MARK = " [line cut at 1 MB]"


class LogTail:
    """Whole lines that were added to a file since the last call; starts over when the file was cut or replaced.

    The file stays open: what was written to it before another one took its name is still read, and its inode
    cannot pass to that other one.
    """

    def __init__(self, path: Path, *, from_end: int | None = None) -> None:
        """Start at the beginning, or `from_end` bytes before the end (a first, torn line is then left out)."""
        self.path = path
        self._file: BinaryIO | None = None
        self._offset = 0
        self._rest = b""
        self._skip_line = False  # until the next line end
        file = self._open()
        if from_end is not None and file is not None:
            self._offset = max(0, os.fstat(file.fileno()).st_size - from_end)
            self._skip_line = self._offset > 0

    def read_lines(self) -> list[str]:
        """New whole lines, decoded; an empty list where there is nothing new or no file yet."""
        while data := self._read():
            # more may be there although no line ended in this part
            if lines := self._split(data):
                return lines
        if not self._is_replaced():
            return []
        last = [_decode(self._rest)] if self._rest else []
        self.close()
        return last + self._split(self._read())

    def read_rest(self) -> str:
        """The last line, if it has no end: often the last word of a process that was killed."""
        rest, self._rest = self._rest, b""
        return _decode(rest) if rest and not self._skip_line else ""

    def close(self) -> None:
        """Let go of the file; a later read begins anew."""
        if self._file is not None:
            self._file.close()
        self._file, self._offset, self._rest, self._skip_line = None, 0, b"", False

    def _open(self) -> BinaryIO | None:
        if self._file is None:
            with contextlib.suppress(OSError):
                self._file = self.path.open("rb", buffering=0)
        return self._file

    def _read(self) -> bytes:
        file = self._open()
        if file is None:
            return b""
        try:
            size = os.fstat(file.fileno()).st_size
            if size == self._offset:
                return b""
            if size < self._offset:  # cut
                self._offset, self._rest, self._skip_line = 0, b"", False
            data = os.pread(file.fileno(), READ_AT_MOST, self._offset)
        except OSError:
            return b""
        self._offset += len(data)
        return data

    def _is_replaced(self) -> bool:
        """Another file has the name now, and the old one is read to its end."""
        if self._file is None:
            return False
        try:
            ours, now = os.fstat(self._file.fileno()), self.path.stat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) != (now.st_dev, now.st_ino) and self._offset >= ours.st_size

    def _split(self, data: bytes) -> list[str]:
        if self._skip_line and data:
            _, end, data = data.partition(b"\n")
            self._skip_line = not end
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest, self._skip_line = b"", True
        return [_decode(line) for line in lines]


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE] + CUT_MARK.encode()
    # a progress bar draws over its own line: its last picture counts
    return line.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
