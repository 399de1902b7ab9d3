"""One thread that reads pages of logs for a screen: only the newest wish counts, and a long search can be given up."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional, Pattern

from textual.message import Message

from sft_tui.logs.merge import Cursor, MergedLine, MergedPage, MergedPages
from sft_tui.tui.background import Post, run_guarded

IsStale = Callable[[], bool]
Wish = Callable[[IsStale], Optional[Message]]
PageWish = Callable[[MergedPages, int, IsStale], Optional[MergedPage]]  # of so many lines


@dataclass
class PageRead(Message):
    """A page of the logs in view, and how long they are by now. `found`: a search led to its first line."""

    wish: int  # the number that its reader was given with the wish
    page: MergedPage
    rows: int  # that there was room for
    total: int  # bytes
    found: bool = False


@dataclass
class NothingFound(Message):
    """A search came to the end."""

    wish: int


@dataclass
class LogsSaved(Message):
    """A range of lines was written to a file."""

    path: str
    lines: int


class LogReader:
    """Does what was asked for last; the thread ends when the screen closes it."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._wish: Optional[Wish] = None
        self._number = 0
        self._closed = False
        threading.Thread(target=self._loop, daemon=True).start()

    def ask(self, wish: Wish) -> None:
        """Do this next; what was asked before and is not done is given up."""
        with self._changed:
            self._wish, self._number = wish, self._number + 1
            self._changed.notify()

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._closed = True
            self._number += 1
            self._changed.notify()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while self._wish is None and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                wish, number, self._wish = self._wish, self._number, None
            assert wish is not None
            run_guarded(lambda w=wish, n=number: w(lambda: n != self._number), self._post)  # type: ignore[misc]


def read_tail(pages: MergedPages, count: int, is_stale: IsStale) -> Optional[MergedPage]:
    """The last lines; None once nobody waits for them."""
    return read_before(pages, pages.end(), count, is_stale)


def read_before(pages: MergedPages, cursor: Cursor, count: int, is_stale: IsStale) -> Optional[MergedPage]:
    """A page of lines that end there, however long a filter has to look for them."""
    lines: tuple[MergedLine, ...] = ()
    end = cursor
    while not is_stale():
        page = pages.before(cursor, count - len(lines))
        lines, cursor = (*page.lines, *lines), page.start
        if page.is_whole:
            return replace(page, lines=lines, end=end)
    return None


def read_after(pages: MergedPages, cursor: Cursor, count: int, is_stale: IsStale) -> Optional[MergedPage]:
    """A page of lines from there on."""
    lines: tuple[MergedLine, ...] = ()
    start = cursor
    while not is_stale():
        page = pages.after(cursor, count - len(lines))
        lines, cursor = (*lines, *page.lines), page.end
        if page.is_whole:
            return replace(page, lines=lines, start=start)
    return None


def find_line(
    pages: MergedPages, pattern: Pattern[bytes], cursor: Cursor, is_stale: IsStale, *, forward: bool
) -> Optional[MergedPage]:
    """As `MergedPages.find`, however long it takes."""
    while not is_stale():
        page = pages.find(pattern, cursor, forward=forward)
        if page.lines or page.is_whole:
            return page
        cursor = page.end if forward else page.start
    return None


def save_lines(pages: MergedPages, start: Cursor, end: Cursor, path: Path) -> LogsSaved:
    """Write the lines from one place to another into a new, private file. Raises OSError."""
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        while any(here < there for here, there in zip(start, end)):
            page = pages.after(start, 2000)
            inside = [m for m in page.lines if m.line.start < end[m.source]]
            out.writelines(f"{merged.line.text}\n" for merged in inside)
            count += len(inside)
            if page.is_whole and not inside:
                break
            start = page.end
    return LogsSaved(str(path), count)
