"""Counts the errors of a log that grows, a piece at a time."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Optional, Pattern, Tuple

from sft_tui.logs.scan import BLOCK, open_log

# a line that says of itself that it is one, in the forms of MindSpore, CANN, MindFormers and Python
ERROR_LINE: Final[Pattern[bytes]] = re.compile(
    rb"\[(?:ERROR|CRITICAL|EXCEPTION|FATAL)\]| - (?:ERROR|CRITICAL) - |^Traceback \(most recent call last\)",
    re.MULTILINE,
)
_REST_AT_MOST = 1 << 16


class ErrorCount:
    """How many lines of one file are errors, and how much of it has been looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors = 0
        self._begin()

    def _begin(self, identity: Optional[Tuple[int, int]] = None) -> None:
        self.errors, self.counted, self.size = 0, 0, 0
        self._identity, self._rest = identity, b""

    @property
    def is_complete(self) -> bool:
        """All of the file has been looked at."""
        return self.counted >= self.size

    def read(self, budget: int) -> int:
        """Look at the next `budget` bytes; how many were read. Raises OSError."""
        with open_log(self.path) as file:
            if file is None:
                self._begin()
                return 0
            status = os.fstat(file)
            identity = (status.st_dev, status.st_ino)
            if identity != self._identity or status.st_size < self.counted:
                self._begin(identity)
            self.size = status.st_size
            begin = self.counted
            while self.counted - begin < budget and (data := os.pread(file, BLOCK, self.counted)):
                self.counted += len(data)
                self._count(self._rest + data)
            return self.counted - begin

    def _count(self, data: bytes) -> None:
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _REST_AT_MOST:
            cut = len(data)
        last = -1
        for match in ERROR_LINE.finditer(data, 0, cut):
            if match.start() > last:
                self.errors += 1
                last = data.find(b"\n", match.start())
                if last < 0:
                    break
        self._rest = data[cut:]
