"""Every key, and what the marks of the rail mean."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label

from sft_tui.tui.session import WIZARD_STEPS
from sft_tui.tui.widgets.rail import LEGEND

_KEYS = (
    ("F1 to F9", "go to a step: " + ", ".join(step.title for step in WIZARD_STEPS)),
    ("ctrl+n, ctrl+b", "next step, step before"),
    ("tab, shift+tab", "next field, field before"),
    ("enter, space", "open a list, tick a box"),
    ("ctrl+o", "choose a path, on a field that wants one"),
    ("ctrl+t", "run this step now, and what it needs that is not there yet"),
    ("ctrl+r", "run all that remains"),
    ("ctrl+k", "stop the job (Monitor)"),
    ("F10", "choose or make a profile"),
    ("ctrl+q", "quit; a running job goes on, and is shown again at the next start"),
)


class Help(ModalScreen[None]):
    """Closes with escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f12,q", "close", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box"):
            for key, text in _KEYS:
                yield Label(f"{key:15} {text}", markup=False)
            yield Label(f"\nMarks: {LEGEND}", markup=False)
            yield Label("\nEverything typed is saved at once. escape closes this.", classes="dialog-keys")

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)
