"""Several logs as one, in the order of time: what the ranks of a training wrote, page by page.

Within a file the order is the file's own. A line without a time belongs to the one above it. The clocks of several
hosts are taken as they are.

A cursor is a byte in each file. Following is reading the last page again: a flood costs no more than a trickle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, List, Optional, Pattern, Sequence, Tuple

from sft_tui.logs.filter import EVERYTHING, LogFilter
from sft_tui.logs.pages import LogLine, LogPage, LogPages

MERGED_AT_MOST: Final = 256  # files
_NEAR: Final = 1 << 16  # bytes between which a time is looked for line by line

Cursor = Tuple[int, ...]  # a byte in each file


@dataclass(frozen=True)
class MergedLine:
    """A line, and the place of its file among those that were merged."""

    source: int
    line: LogLine


@dataclass(frozen=True)
class MergedPage:
    """As `LogPage`, of all files."""

    lines: Tuple[MergedLine, ...]
    start: Cursor
    end: Cursor
    is_whole: bool = True


class MergedPages:
    """The pages of one file or of several."""

    def __init__(self, paths: Sequence[Path], keep: LogFilter = EVERYTHING) -> None:
        self.paths = tuple(paths)
        self.keep = keep
        self._files = [LogPages(path, keep) for path in paths]

    def begin(self) -> Cursor:
        """Before everything."""
        return (0,) * len(self._files)

    def end(self) -> Cursor:
        """Behind all that was written so far. Raises OSError."""
        return tuple(file.size() for file in self._files)

    def after(self, cursor: Cursor, count: int) -> MergedPage:
        """Up to `count` lines from there on. Raises OSError."""
        pages = [file.after(offset, count) for file, offset in zip(self._files, cursor)]
        if not all(page.is_whole for page in pages):
            # nothing can be said of the order before all have been looked at: go on from where each has something
            ahead = tuple(page.lines[0].start if page.lines else page.end for page in pages)
            return MergedPage((), cursor, ahead, is_whole=False)
        taken = self._in_order(pages)[:count]
        end = [page.end if not page.lines else offset for page, offset in zip(pages, cursor)]
        for merged in taken:
            end[merged.source] = merged.line.end
        return MergedPage(tuple(taken), _starts(taken, cursor), tuple(end))

    def before(self, cursor: Cursor, count: int) -> MergedPage:
        """Up to `count` lines that end there. Raises OSError."""
        pages = [file.before(offset, count) for file, offset in zip(self._files, cursor)]
        if not all(page.is_whole for page in pages):
            back = tuple(page.lines[-1].end if page.lines else page.start for page in pages)
            return MergedPage((), back, cursor, is_whole=False)
        taken = self._in_order(pages)[-count:]
        start = [page.start if not page.lines else offset for page, offset in zip(pages, cursor)]
        for merged in reversed(taken):
            start[merged.source] = merged.line.start
        return MergedPage(tuple(taken), tuple(start), cursor)

    def find(self, pattern: Pattern[bytes], cursor: Cursor, *, forward: bool) -> MergedPage:
        """A page of the nearest line that holds the pattern, or of none; `start` is where a page that shows it begins.

        Raises OSError.
        """
        search = MergedPages(self.paths, self.keep.also(pattern))
        page = search.after(cursor, 1) if forward else search.before(cursor, 1)
        if not page.lines or len(self._files) == 1:
            return page
        [found] = page.lines
        start = list(self.at_time(found.line.time)) if found.line.time is not None else list(cursor)
        start[found.source] = found.line.start
        return MergedPage(page.lines, tuple(start), page.end)

    def at_time(self, time: float) -> Cursor:
        """In each file the first line that is not older. Raises OSError."""
        return tuple(_offset_at(file, time) for file in self._files)

    def _in_order(self, pages: Sequence[LogPage]) -> List[MergedLine]:
        if len(pages) == 1:
            return [MergedLine(0, line) for line in pages[0].lines]
        timed: List[Tuple[float, int, int, MergedLine]] = []
        for source, page in enumerate(pages):
            time = self._time_above(source, page)
            for place, line in enumerate(page.lines):
                time = max(time, line.time) if line.time is not None else time
                timed.append((time, source, place, MergedLine(source, line)))
        return [entry[3] for entry in sorted(timed, key=lambda entry: entry[:3])]

    def _time_above(self, source: int, page: LogPage) -> float:
        """For lines at the head of a page that have no time of their own."""
        if not page.lines or page.lines[0].time is not None:
            return -math.inf
        above = self._files[source].time_above(page.lines[0].start)
        if above is not None:
            return above
        return next((line.time for line in page.lines if line.time is not None), -math.inf)


def _starts(lines: Sequence[MergedLine], cursor: Cursor) -> Cursor:
    start = list(cursor)
    for merged in reversed(lines):
        start[merged.source] = merged.line.start
    return tuple(start)


def _offset_at(pages: LogPages, time: float) -> int:
    """Where the first line begins that is not older than that, going by halves."""
    everything = LogPages(pages.path)
    low, high = 0, everything.size()  # low begins a line that is older
    while high - low > _NEAR:
        middle = (low + high) // 2
        begins = everything.after(middle, 1).end  # what stands before it may be the rest of a line
        when = _first_time(everything, begins)
        if when is not None and when < time and begins < high:
            low = begins
        else:
            high = middle
    page = everything.after(low, 100_000)
    return next((line.start for line in page.lines if line.time is not None and line.time >= time), page.end)


def _first_time(pages: LogPages, offset: int) -> Optional[float]:
    return next((line.time for line in pages.after(offset, 100).lines if line.time is not None), None)
