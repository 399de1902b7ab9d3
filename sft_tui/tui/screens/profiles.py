"""Choose a profile, or name a new one."""

from __future__ import annotations

import re
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from sft_tui.core.profile import NAME_PATTERN
from sft_tui.core.terminal_text import neutralise


class ProfileChooser(ModalScreen[str]):
    """Returns the name of a profile, known or new, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, names: list[str], current: str) -> None:
        super().__init__(classes="dialog")
        self._names = names
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Profiles: enter opens one")
            options = [Option(self._line(name), id=name) for name in self._names]
            yield OptionList(*options, compact=True)
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
        self.dismiss(event.option.id or "")

    @on(Input.Submitted, "#new-profile")
    def _named(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if re.match(NAME_PATTERN, name):
            self.dismiss(name)
        else:
            self.query_one("#profile-note", Label).update(
                "! Not a valid name: letters, digits, dot, dash, underscore; no spaces."
            )

    def action_cancel(self) -> None:
        """Keep the profile."""
        self.dismiss("")
