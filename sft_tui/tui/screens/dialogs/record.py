"""One record as the model sees it: what is learned, what is only read, what is cut away."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Callable, ClassVar, Optional, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label

from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import SftError
from sft_tui.tui.widgets.text_block import TextBlock

if TYPE_CHECKING:
    from sft_tui.dataset.audit.sample import RecordView
    from sft_tui.dataset.text.passages import TextReading
    from sft_tui.dataset.tokenizer.load import Tokenizer


class Viewer(Protocol):
    """Shows records or passages of a file by their number."""

    def view(self, number: int) -> RecordView:
        """Raises InvalidInputError where there is none."""


LOAD = "Reading ..."
CUT = "\n-- cut here: the model does not see what follows --\n"


def open_records(
    path: Path, seq_length: int, template: str, columns: tuple[tuple[str, str], ...]
) -> Callable[[Tokenizer], Viewer]:
    """What opens a file of records."""

    def opens(tokenizer: Tokenizer) -> Viewer:
        from sft_tui.dataset.audit.sample import RecordViewer

        return RecordViewer(path, tokenizer, seq_length, template, columns)

    return opens


def open_passages(path: Path, seq_length: int, reading: TextReading) -> Callable[[Tokenizer], Viewer]:
    """What opens a file of plain text."""

    def opens(tokenizer: Tokenizer) -> Viewer:
        from sft_tui.dataset.audit.text_sample import PassageViewer

        return PassageViewer(path, tokenizer, seq_length, reading)

    return opens


class RecordLoader:
    """Reads records in a thread: tokenizer and file are opened once."""

    def __init__(self, tokenizer: Path, opens: Callable[[Tokenizer], Viewer]) -> None:
        self._tokenizer, self._opens = tokenizer, opens
        self._viewer: Optional[Viewer] = None
        self._lock = threading.Lock()

    def __call__(self, number: int) -> RecordView:
        """Raises SftError, OSError."""
        from sft_tui.checks.examine import keep_tokenizer

        with self._lock:
            if self._viewer is None:
                self._viewer = self._opens(keep_tokenizer(self._tokenizer))
            return self._viewer.view(number)


class RecordScreen(ModalScreen[None]):
    """Shows records by their number; `load` reads one, in a thread."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,n", "move(1)", "Next"),
        Binding("left,p", "move(-1)", "Previous"),
        Binding("escape,q", "close", "Close", priority=True),
    ]

    def __init__(self, load: Callable[[int], RecordView]) -> None:
        super().__init__(classes="dialog")
        self._load = load
        self._number = 1

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box", id="record-box"):
            yield TextBlock(Content(LOAD), id="record-head")
            yield TextBlock(id="record-text")
            yield Label("right, left another record   up, down scroll   escape close", classes="dialog-keys")

    def on_mount(self) -> None:
        self._show()

    def action_move(self, by: int) -> None:
        """Look at another record."""
        if self._number + by > 0:
            self._number += by
            self._show()

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)

    def _show(self) -> None:
        self.run_worker(self._look(self._number), exclusive=True)

    async def _look(self, number: int) -> None:
        head, text = self.query_one("#record-head", TextBlock), self.query_one("#record-text", TextBlock)
        try:
            view = await asyncio.to_thread(self._load, number)
        except (SftError, OSError) as error:
            head.show(Content(f"record {number}: {neutralise(str(error))}"))
            text.show(Content(""))
            return
        head.show(Content.styled(_head(view), "bold"))
        text.show(_text(view))
        self.query_one("#record-box").scroll_home(animate=False)


def _head(view: RecordView) -> str:
    parts = [f"{neutralise(view.name)}: {view.tokens} tokens"]
    parts.append(f"{view.trained_tokens} learned, in reverse")
    if view.tokens > view.row_length:
        parts.append(f"{view.tokens - view.row_length} cut away")
    if view.masked_reason:
        parts.append(f"teaches nothing: {view.masked_reason}")
    return ", ".join(parts)


def _text(view: RecordView) -> Content:
    parts: list[Content | str | tuple[str, str]] = []
    beyond = False
    for span in view.spans:
        if span.beyond and not beyond:
            beyond = True
            parts.append((CUT, "bold $error"))
        lines = "\n".join(map(neutralise, span.text.split("\n")))
        parts.append((lines, "reverse" if span.trained else "dim" if span.beyond else ""))
    return Content.assemble(*parts)
