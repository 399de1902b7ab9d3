"""Choose a profile, name a new one, or rehearse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from sft_tui.core.profile_defaults import NAME_PATTERN
from sft_tui.core.terminal_text import neutralise
from sft_tui.demo.workspace import TOYS
from sft_tui.tui.background import Background
from sft_tui.tui.bridge import BackgroundFailed

_REHEARSE = "rehearse "  # no name of a profile has a blank


@dataclass
class RehearsalWritten(Message):
    """The toy model, its data and the profile of that name were written."""

    profile: str


def _write_rehearsal(family: str) -> RehearsalWritten:
    from sft_tui.demo.rehearsal import FOLDER, prepare_rehearsal

    return RehearsalWritten(prepare_rehearsal(Path(FOLDER), family))


class ProfileChooser(ModalScreen[str]):
    """Returns the name of a profile, known or new, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, names: list[str], current: str) -> None:
        super().__init__(classes="dialog")
        self._names = names
        self._current = current
        self._busy = False
        self._background = Background(self.post_message)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Profiles: enter opens one")
            options = [Option(self._line(name), id=name) for name in self._names]
            toys = [Option(f"rehearse {toy.about}", id=_REHEARSE + family) for family, toy in TOYS.items()]
            yield OptionList(*options, None, *toys, compact=True)
            yield Label("or name a new one:")
            yield Input(placeholder="letters, digits, dot, dash, underscore", compact=True, id="new-profile")
            yield Label("tab moves between them, escape closes", classes="dialog-keys", id="profile-note")

    def _line(self, name: str) -> Content:
        return Content(neutralise(name) + ("  (open)" if name == self._current else ""))

    def on_mount(self) -> None:
        if self._current in self._names:
            self.query_one(OptionList).highlighted = self._names.index(self._current)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        chosen = event.option.id or ""
        family = chosen[len(_REHEARSE) :] if chosen.startswith(_REHEARSE) else ""
        if not family or TOYS[family].profile == self._current:  # open already: what was changed in it stays
            self.dismiss(TOYS[family].profile if family else chosen)
            return
        self._set_busy(True)
        self._note("writing a toy model and its data ...")
        self._background.run(lambda: _write_rehearsal(family))

    def _set_busy(self, busy: bool) -> None:
        """Nothing else can be chosen while a rehearsal is written; afterwards the list has the keys again."""
        self._busy = busy
        for widget in (self.query_one(OptionList), self.query_one(Input)):
            widget.disabled = busy
        if not busy:
            self.query_one(OptionList).focus()

    @on(RehearsalWritten)
    def _written(self, message: RehearsalWritten) -> None:
        self.dismiss(message.profile)

    @on(BackgroundFailed)
    def _failed(self, message: BackgroundFailed) -> None:
        message.stop()
        self._set_busy(False)
        self._note(f"! {message.message}")

    @on(Input.Submitted, "#new-profile")
    def _named(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if re.match(NAME_PATTERN, name):
            self.dismiss(name)
        else:
            self._note("! Not a valid name: letters, digits, dot, dash, underscore; no spaces.")

    def _note(self, text: str) -> None:
        self.query_one("#profile-note", Label).update(Content(neutralise(text)))

    def action_cancel(self) -> None:
        """Keep the profile."""
        if not self._busy:
            self.dismiss("")
