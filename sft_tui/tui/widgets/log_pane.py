"""One page of a log: as many lines as fit, coloured by their level. It is told what to show and knows no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Pattern, Sequence

from textual.binding import Binding, BindingType
from textual.content import Content, Span
from textual.events import Resize
from textual.message import Message
from textual.widgets import Static

from sft_tui.core.terminal_text import neutralise
from sft_tui.logs.merge import MergedLine
from sft_tui.tui.text.job_text import short_log_line

_STYLES = {"error": "bold $error", "warning": "$warning", "debug": "dim"}
_SIDE_STEP = 20  # columns


class LogPane(Static, can_focus=True):
    """Draws lines that were read for it; what does not fit into the width is reached sideways."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "screen.turn(0, -1)", show=False),
        Binding("down,j", "screen.turn(0, 1)", show=False),
        Binding("pageup,b", "screen.turn(-1, 0)", show=False),
        Binding("pagedown", "screen.turn(1, 0)", show=False),
        Binding("home,g", "screen.home", show=False),
        Binding("end,G", "screen.end", show=False),
        Binding("left", "screen.aside(-1)", show=False),
        Binding("right", "screen.aside(1)", show=False),
    ]

    @dataclass
    class Sized(Message):
        """It has room for another number of lines."""

        rows: int

    def __init__(self) -> None:
        super().__init__(id="log-pane")
        self._lines: tuple[MergedLine, ...] = ()
        self._labels: tuple[str, ...] = ()
        self._found: Optional[Pattern[bytes]] = None
        self._left = 0
        self._whole = False
        self._drawn: Optional[Content] = None

    @property
    def rows(self) -> int:
        """Lines that fit."""
        return max(1, self.content_size.height)

    def on_resize(self, _event: Resize) -> None:
        self.post_message(self.Sized(self.rows))

    def show(self, lines: Sequence[MergedLine], labels: Sequence[str], found: Optional[Pattern[bytes]] = None) -> None:
        """Draw these lines, each behind the label of its file; what a search found is marked."""
        self._lines, self._labels, self._found = tuple(lines), tuple(labels), found
        self._draw()

    def move_aside(self, by: int) -> None:
        """Show what is further right, or left."""
        self._left = max(0, self._left + by * _SIDE_STEP)
        self._draw()

    def toggle_whole(self) -> None:
        """Show lines with their date and the place in MindFormers' source, or without."""
        self._whole = not self._whole
        self._draw()

    def _draw(self) -> None:
        rows = [self._row(merged) for merged in self._lines]
        content = Content("\n").join(rows) if rows else Content("")
        if self._drawn is None or not content.is_same(self._drawn):  # nothing new costs no bytes over SSH
            self._drawn = content
            self.update(content, layout=False)  # its size is that of its place

    def _row(self, merged: MergedLine) -> Content:
        line = merged.line.text
        text = (neutralise(line) if self._whole else short_log_line(line)).expandtabs(4)
        spans = [Span(0, len(text), style)] if (style := _STYLES.get(merged.line.level)) else []
        if self._found is not None:
            spans += [Span(start, end, "reverse") for start, end in _matches(self._found, text)]
        row = Content(text, spans)[self._left :]
        label = self._labels[merged.source] if len(self._labels) > 1 else ""
        return Content.assemble((f"{label}|", "dim"), row) if label else row


def _matches(pattern: Pattern[bytes], text: str) -> list[tuple[int, int]]:
    """Where it is found in what is shown; in characters."""
    data = text.encode("utf-8")
    found = []
    for match in pattern.finditer(data):
        if match.end() > match.start():
            start = len(data[: match.start()].decode("utf-8", "ignore"))
            found.append((start, start + len(match[0].decode("utf-8", "ignore"))))
    return found
