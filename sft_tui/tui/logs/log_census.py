"""Looks again and again which logs a job has, and how many errors are in each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from textual.message import Message

from sft_tui.logs.error_count import ErrorCount
from sft_tui.logs.files import LogFile

BYTES_A_LOOK = 32 << 20
LOOKS_A_LISTING = 5


@dataclass
class LogsFound(Message):
    """The logs of a job; errors by path, with a sign that more of the file has yet to be looked at."""

    files: tuple[LogFile, ...]
    errors: dict[Path, tuple[int, bool]]


class LogCensus:
    """For one thread: each look lists the logs, or counts on where the last look ended."""

    def __init__(self, find: Callable[[], Sequence[LogFile]]) -> None:
        self._find = find
        self._files: tuple[LogFile, ...] = ()
        self._counts: dict[Path, ErrorCount] = {}
        self._looks = 0
        self._told: LogsFound | None = None

    def look(self) -> LogsFound | None:
        """What changed since the last look, or None. Raises SftError."""
        if self._looks % LOOKS_A_LISTING == 0:
            self._files = tuple(self._find())
            self._counts = {f.path: self._counts.get(f.path) or ErrorCount(f.path) for f in self._files}
        self._looks += 1
        left = BYTES_A_LOOK
        # those that are nearly done first: a flood in one log does not hide the errors of all others
        for count in sorted(self._counts.values(), key=lambda count: count.size - count.counted):
            if left <= 0:
                break
            with contextlib.suppress(OSError):  # not readable: its page says why
                left -= count.read(left)
        found = LogsFound(self._files, {p: (c.errors, not c.is_complete) for p, c in self._counts.items()})
        if self._told is not None and (found.files, found.errors) == (self._told.files, self._told.errors):
            return None
        self._told = found
        return found
