"""Every key, and what the marks of the rail mean."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label

from sft_tui.tui.session import WIZARD_STEPS
from sft_tui.tui.widgets.rail import LEGEND

_KEYS = (
    ("F1 to F9", ", ".join(step.title for step in WIZARD_STEPS)),
    ("ctrl+n, ctrl+b", "next step, step before (ctrl+p too: tmux keeps ctrl+b for itself)"),
    ("tab, shift+tab", "next field, field before; so do down and up"),
    ("PgUp, PgDn", "scroll; in the log, home and end as well"),
    ("enter, space", "open a list, tick a box"),
    ("ctrl+o", "choose a path, on a field that wants one; on Monitor: follow a run of somebody else's"),
    ("ctrl+g", "a record as the model sees it (Dataset); all nodes (Nodes)"),
    ("ctrl+t", "run this step now, and what it needs that is not there yet"),
    ("ctrl+r", "run all that remains; while files are checked it waits for that, escape cancels"),
    ("ctrl+l, ctrl+k", "all logs of the job, stop it (Monitor); m, l, z, c, p: its curve"),
    ("ctrl+z", "take the last edit back, in whichever field it was; again: the one before"),
    ("ctrl+s", "save a profile anew that was deleted elsewhere"),
    ("F10", "choose or make a profile"),
    ("ctrl+q", "quit; a running job goes on, and is shown again at the next start"),
)


class Help(ModalScreen[None]):
    """Closes with escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f12,q", "close", "Close", priority=True)]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box"):
            for key, text in _KEYS:
                with Horizontal(classes="key-row"):
                    yield Label(key, classes="key")
                    yield Label(text, classes="key-text")
            yield Label(f"Marks: {LEGEND}", markup=False, classes="dialog-keys")
            yield Label(
                "Everything typed is saved at once. escape closes this.",
                classes="dialog-keys",
            )

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)
