"""Follows a growing log by byte offset."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator, Sequence

from sft_tui.errors import InvalidInputError
from sft_tui.files.regular_file import open_regular

MAX_LINE = 1 << 20  # a line that never ends is cut here
READ_AT_MOST = 1 << 18  # bytes a call, so that a flood neither fills the memory nor holds anybody up
CUT_MARK = " [line cut at 1 MB]"


class LogTail:
    """Whole lines that were added to a file since the last call; starts over when the file was cut or replaced.

    The file stays open: what was written to it before another one took its name is still read, and its inode
    cannot pass to that other one. What is no regular file counts as none: a FIFO would make us wait.
    """

    def __init__(self, path: Path, *, from_end: int | None = None, words: Sequence[bytes] = ()) -> None:
        """Start at the beginning, or `from_end` bytes before the end (a first, torn line is then left out).

        With `words`, lines that have none of them are left out, which is much faster than to look at each.
        """
        self.path = path
        self._words = words
        self._file: int | None = None
        self._offset = 0
        self._rest = b""
        self._skip_line = False  # until the next line end
        file = self._open()
        if from_end is not None and file is not None:
            self._offset = max(0, os.fstat(file).st_size - from_end)
            self._skip_line = self._offset > 0

    def read_lines(self) -> list[str]:
        """New whole lines, decoded; an empty list where there is nothing new or no file yet."""
        while True:
            lines, more = self.read_some()
            if lines or not more:
                return lines

    def read_some(self) -> tuple[list[str], bool]:
        """Lines of the next `READ_AT_MOST` bytes, maybe none, and whether something was read: there may be more."""
        if data := self._read():
            return self._split(data), True
        if not self._is_replaced():
            return [], False
        last = [_decode(self._rest)] if self._rest else []
        self.close()
        data = self._read()
        return last + self._split(data), bool(data)

    def read_rest(self) -> str:
        """The last line, if it has no end: often the last word of a process that was killed."""
        rest, self._rest = self._rest, b""
        return _decode(rest) if rest and not self._skip_line else ""

    def close(self) -> None:
        """Let go of the file; a later read begins anew."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._offset, self._rest, self._skip_line = None, 0, b"", False

    def _open(self) -> int | None:
        if self._file is None:
            with contextlib.suppress(OSError, InvalidInputError):
                self._file = open_regular(self.path)
        return self._file

    def _read(self) -> bytes:
        file = self._open()
        if file is None:
            return b""
        try:
            size = os.fstat(file).st_size
            if size == self._offset:
                return b""
            if size < self._offset:  # cut
                self._offset, self._rest, self._skip_line = 0, b"", False
            data = os.pread(file, READ_AT_MOST, self._offset)
        except OSError:
            return b""
        self._offset += len(data)
        return data

    def _is_replaced(self) -> bool:
        """Another file has the name now, and the old one is read to its end."""
        if self._file is None:
            return False
        try:
            ours, now = os.fstat(self._file), self.path.stat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) != (now.st_dev, now.st_ino) and self._offset >= ours.st_size

    def _split(self, data: bytes) -> list[str]:
        if self._skip_line and data:
            _, end, data = data.partition(b"\n")
            self._skip_line = not end
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        lines = self._wanted(whole) if end else []
        if len(self._rest) > MAX_LINE:
            lines += self._wanted(self._rest)
            self._rest, self._skip_line = b"", True
        return [_decode(line) for line in lines]

    def _wanted(self, whole: bytes) -> list[bytes]:
        if not self._words:
            return whole.split(b"\n")
        places: dict[int, int] = {}  # where such a line begins and ends
        for word in self._words:
            at = whole.find(word)
            while at >= 0:
                end = whole.find(b"\n", at)
                places[whole.rfind(b"\n", 0, at) + 1] = end if end >= 0 else len(whole)
                at = whole.find(word, end) if end >= 0 else -1
        return [whole[start:end] for start, end in sorted(places.items())]


def iterate_lines(path: Path, words: Sequence[bytes] = ()) -> Iterator[str]:
    """The lines of a log from its beginning to where it ends now, as `LogTail` reads them."""
    tail = LogTail(path, words=words)
    try:
        while lines := tail.read_lines():
            yield from lines
        if last := tail.read_rest():
            yield last
    finally:
        tail.close()


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE] + CUT_MARK.encode()
    # a progress bar draws over its own line: its last picture counts
    return line.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
