"""Choose another job whose curve is drawn beside this one's."""

from __future__ import annotations

from typing import ClassVar, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from sft_tui.core.terminal_text import neutralise


class CompareChooser(ModalScreen[str]):
    """Returns the id of a job, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, jobs: Sequence[str]) -> None:
        super().__init__(classes="dialog")
        self._jobs = jobs

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Compare with the training of: enter chooses")
            yield OptionList(*(Option(Content(neutralise(job)), id=job) for job in self._jobs), compact=True)
            yield Label("escape closes", classes="dialog-keys")

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id or "")

    def action_cancel(self) -> None:
        """Compare with none."""
        self.dismiss("")
