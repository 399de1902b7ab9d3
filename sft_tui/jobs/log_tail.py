"""Follows a growing log by byte offset."""

from __future__ import annotations

from pathlib import Path

MAX_LINE = 1 << 20  # a line that never ends is cut here
READ_AT_MOST = 8 << 20  # bytes a call, so that a flood does not fill the memory
CUT_MARK = " [line cut at 1 MB]"


class LogTail:
    """Whole lines that were added to a file since the last call; starts over when the file was cut or replaced."""

    def __init__(self, path: Path, *, from_end: int | None = None) -> None:
        """Start at the beginning, or `from_end` bytes before the end (a first, torn line is then left out)."""
        self.path = path
        self._rest = b""
        self._inode = 0
        self._offset = 0
        self._skip_first = False
        if from_end is not None and path.is_file():
            status = path.stat()
            self._inode = status.st_ino
            self._offset = max(0, status.st_size - from_end)
            self._skip_first = self._offset > 0

    def read_lines(self) -> list[str]:
        """New whole lines, decoded; an empty list where there is nothing new or no file yet."""
        data = self._read()
        if not data:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest[:MAX_LINE] + CUT_MARK.encode())
            self._rest = b""
        if lines and self._skip_first:
            lines, self._skip_first = lines[1:], False
        return [_decode(line) for line in lines]

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                status = self.path.stat()
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset, self._rest = status.st_ino, 0, b""
                file.seek(self._offset)
                data = file.read(READ_AT_MOST)
        except OSError:
            return b""
        self._offset += len(data)
        return data


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE + len(CUT_MARK):
        line = line[:MAX_LINE] + CUT_MARK.encode()
    return line.decode("utf-8", errors="replace").rstrip("\r")
