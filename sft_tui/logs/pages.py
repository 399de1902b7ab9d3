"""Reads pages of a log of any size: lines after a byte or before it, as far as a filter lets them through."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Iterator, List, Optional, Tuple

from sft_tui.logs.filter import EVERYTHING, LogFilter, level_of
from sft_tui.logs.scan import LineScan, RawLine, open_log
from sft_tui.logs.stamp import Level, read_time

SHOWN_AT_MOST: Final = 4096  # bytes of a line that anybody sees
SCAN_AT_MOST: Final = 64 << 20  # bytes of a call
_LOOK_BACK: Final = 200  # lines, for the level or the time of those that have none
_TIME_IN: Final = 200  # bytes of a line in which it says its time


@dataclass(frozen=True)
class LogLine:
    """One line, from byte `start` to before byte `end` of its file."""

    start: int
    end: int
    text: str
    level: Level = ""
    time: Optional[float] = None  # on the clock of the host that wrote it

    @classmethod
    def from_raw(cls, raw: RawLine, level: Level) -> LogLine:
        """Decode it; of a progress bar that draws over itself the last picture counts."""
        start, line = raw
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]
        text = shown[:SHOWN_AT_MOST].decode("utf-8", errors="replace")
        if len(shown) > SHOWN_AT_MOST:
            text += f" ... ({len(shown):,} bytes)"
        return cls(start, start + len(line) + 1, text, level, read_time(text[:_TIME_IN]))


@dataclass(frozen=True)
class LogPage:
    """Lines in their order, and where to go on: before byte `start`, after `end`. `is_whole`: nothing was left out."""

    lines: Tuple[LogLine, ...]
    start: int
    end: int
    is_whole: bool = True


class LogPages:
    """The pages of one file, which is opened for each: it may be cut, replaced, or not there yet."""

    def __init__(self, path: Path, keep: LogFilter = EVERYTHING) -> None:
        self.path = path
        self.keep = keep
        # blocks may only be passed over where no line depends on one above it
        self._must = keep.patterns[-1] if keep.patterns and not keep.level else None

    def size(self) -> int:
        """Bytes now. Raises OSError."""
        with open_log(self.path) as file:
            return LineScan(file, 0, 0).size if file is not None else 0

    def after(self, offset: int, count: int, budget: int = SCAN_AT_MOST) -> LogPage:
        """Up to `count` lines from that byte on, which begins a line. Raises OSError."""
        with open_log(self.path) as file:
            if file is None:
                return LogPage((), 0, 0)
            scan = LineScan(file, offset, budget, self._must)
            offset = scan.reached
            lines = tuple(islice(self._wanted(scan.forward(), self._level_above(file, offset)), count))
            full = len(lines) == count
            return LogPage(
                lines,
                lines[0].start if lines else offset,
                min(lines[-1].end, scan.size) if full else scan.reached,
                full or not scan.is_spent,
            )

    def before(self, offset: int, count: int, budget: int = SCAN_AT_MOST) -> LogPage:
        """Up to `count` lines that end at or before that byte. Raises OSError."""
        with open_log(self.path) as file:
            if file is None:
                return LogPage((), 0, 0)
            scan = LineScan(file, offset, budget, self._must)
            offset = scan.reached
            lines = tuple(islice(self._wanted_backward(scan.backward()), count))[::-1]
            full = len(lines) == count
            return LogPage(
                lines,
                lines[0].start if full else scan.reached,
                min(lines[-1].end, scan.size) if lines else offset,
                full or not scan.is_spent,
            )

    def time_above(self, offset: int) -> Optional[float]:
        """The time of the nearest line before that byte that has one. Raises OSError."""
        with open_log(self.path) as file:
            raws = LineScan(file, offset, 0).backward() if file is not None else iter(())
            times = (read_time(line[:_TIME_IN].decode("utf-8", "replace")) for _, line in islice(raws, _LOOK_BACK))
            return next((time for time in times if time is not None), None)

    def _wanted(self, raws: Iterator[RawLine], above: Level) -> Iterator[LogLine]:
        for raw in raws:
            level = level_of(raw[1])
            above = level or above
            if self.keep.wants_level(above) and self.keep.wants_text(raw[1]):
                yield LogLine.from_raw(raw, level)

    def _wanted_backward(self, raws: Iterator[RawLine]) -> Iterator[LogLine]:
        waiting: List[LogLine] = []  # without a level: the line above them tells
        for raw in raws:
            level = level_of(raw[1])
            if self.keep.wants_text(raw[1]):
                waiting.append(LogLine.from_raw(raw, level))
            if level or not self.keep.level or len(waiting) > _LOOK_BACK:
                if self.keep.wants_level(level):
                    yield from waiting
                waiting = []
        if self.keep.wants_level(""):
            yield from waiting

    def _level_above(self, file: int, offset: int) -> Level:
        if not self.keep.level:
            return ""
        above = (level_of(line) for _, line in islice(LineScan(file, offset, 0).backward(), _LOOK_BACK))
        return next((level for level in above if level), "")
