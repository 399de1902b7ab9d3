"""A question with yes and no, or with answers of its own."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label


class Choose(ModalScreen[str]):
    """Returns the key of the answer that was chosen; empty: none."""

    def __init__(self, question: str, answers: dict[str, str]) -> None:
        super().__init__(classes="dialog")
        self._question = question
        self._answers = {**answers, "escape": "cancel"}
        for key, text in answers.items():
            self._bindings.bind(key, f"answer('{key}')", text)
        self._bindings.bind("escape", "answer('')", "Cancel")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(self._question, markup=False)
            keys = "   ".join(f"{key} {text}" for key, text in self._answers.items())
            yield Label(keys, classes="dialog-keys", markup=False)

    def action_answer(self, key: str) -> None:
        """Close with the answer."""
        self.dismiss(key)


class Confirm(ModalScreen[bool]):
    """Returns whether the answer was yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__(classes="dialog")
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(self._question, markup=False)
            yield Label("y yes   n no", classes="dialog-keys")

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)
