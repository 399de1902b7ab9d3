"""Goes through the lines of an open file from a byte on, forwards or backwards, in blocks, within a budget."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final, Iterator, Optional, Pattern, Tuple

BLOCK: Final = 1 << 18
LINE_AT_MOST: Final = 1 << 20  # a line that never ends is taken for several

RawLine = Tuple[int, bytes]  # where it begins, and what it says


class LineScan:
    """One way through a file. After its end `reached` is where to go on, and `is_spent` whether there is more.

    Blocks without a match of `must` are passed over: lines of other blocks still want to be looked at.
    """

    def __init__(self, descriptor: int, offset: int, budget: int, must: Optional[Pattern[bytes]] = None) -> None:
        self._file = descriptor
        self.size = os.fstat(descriptor).st_size
        self.reached = self._offset = min(offset, self.size)
        self._budget = max(budget, 2 * LINE_AT_MOST)
        self._must = must
        self.is_spent = False

    def forward(self) -> Iterator[RawLine]:
        """Lines from the byte on; the last one of the file may have no end yet."""
        at, rest = self._offset, b""
        place = at
        while place < self.size and (data := os.pread(self._file, BLOCK, place)):
            place += len(data)
            whole, rest = _split_last(rest + data)
            if whole and self._is_wanted(whole):
                for line in whole.split(b"\n")[: -1 if whole.endswith(b"\n") else None]:
                    yield at, line
                    at += len(line) + 1
            at = self.reached = place - len(rest)
            if place - self._offset >= self._budget and place < self.size:
                self.is_spent = True
                return
        if rest and self._is_wanted(rest):
            yield at, rest
        self.reached = self.size

    def backward(self) -> Iterator[RawLine]:
        """Lines that end at or before the byte, the last one first."""
        place = self._offset
        if place and os.pread(self._file, 1, place - 1) == b"\n":
            place -= 1
            if not place:
                yield 0, b""
        end, rest = place, b""  # rest: what was read of a line that ends at `end`
        while place:
            if self._offset - place >= self._budget:
                self.is_spent = True
                return
            place = max(0, place - BLOCK)
            data = os.pread(self._file, end - len(rest) - place, place) + rest
            first = data.find(b"\n") if place else -1
            if place and first < 0 and len(data) <= LINE_AT_MOST:
                rest = data
                continue
            lines = data[first + 1 :]
            if self._is_wanted(lines):
                for line in reversed(lines.split(b"\n")):
                    yield end - len(line), line
                    end -= len(line) + 1
            self.reached = place + first + 1
            end, rest = (place + first, data[:first]) if first >= 0 else (place, b"")
        self.reached = 0

    def _is_wanted(self, lines: bytes) -> bool:
        return self._must is None or self._must.search(lines) is not None


def _split_last(data: bytes) -> Tuple[bytes, bytes]:
    """Whole lines, and the beginning of the next."""
    cut = data.rfind(b"\n") + 1
    if not cut and len(data) > LINE_AT_MOST:
        cut = len(data)
    return data[:cut], data[cut:]


@contextlib.contextmanager
def open_log(path: Path) -> Iterator[Optional[int]]:
    """A descriptor; None where there is no such file yet, or what is there is no file. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)
