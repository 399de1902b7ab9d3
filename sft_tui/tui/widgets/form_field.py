"""One field of a profile: label, value, a line of help, and its error as one types."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Checkbox, Input, Label, Select
from textual.widgets.select import InvalidSelectValueError

from sft_tui.core.nodes import show_hosts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import PATH_FIELDS
from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.widgets.field_messages import TextEdited
from sft_tui.tui.widgets.text_block import TextBlock


class YesNo(Checkbox):
    """A tick box that also says its value: the tick alone differs by colour, which not every terminal has."""

    def watch_value(self) -> None:
        super().watch_value()
        self.label = "yes" if self.value else "no"


class FieldInput(Input):
    """An input whose value the profile validates: the classes of Textual's own validation would restyle it twice."""

    def validate(self, value: str) -> None:
        return None


class FormField(Vertical):
    """Shows one field and tells of every edit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, section: str, field: str, info: FieldInfo, value: object) -> None:
        super().__init__(id=f"field-{section}-{field}", classes="form-field")
        self.section = section
        self.field = field
        self._info = info
        self._value = show_hosts(value) if (section, field) == ("nodes", "hosts") else value

    @property
    def dotted(self) -> str:
        """The field's name in problems."""
        return f"{self.section}.{self.field}"

    @property
    def label(self) -> str:
        """The field's name for people."""
        return self._info.title or self.field

    def compose(self) -> ComposeResult:
        with Horizontal(classes="form-row"):
            yield Label(self.label, classes="form-label")
            yield self._editor()
        yield TextBlock(self._help(), classes="form-help")

    def _editor(self) -> Input | Select[str] | Checkbox:
        if isinstance(self._info.default, bool) and isinstance(self._value, bool):
            return YesNo("yes" if self._value else "no", self._value, compact=True, classes="form-value")
        if get_origin(self._info.annotation) is Literal:
            choices = [str(choice) for choice in get_args(self._info.annotation)]
            options = [(choice, choice) for choice in choices]
            if str(self._value) in choices:
                return Select(options, value=str(self._value), allow_blank=False, compact=True, classes="form-value")
        placeholder = "a path: ctrl+o browses" if self.dotted in PATH_FIELDS else ""
        return FieldInput(
            str(self._value), placeholder=placeholder, select_on_focus=False, compact=True, classes="form-value"
        )

    def _help(self) -> Content:
        return Content.styled(self._info.description or "", "dim")

    def show_problem(self, problem: Problem | None) -> None:
        """Put the problem under the field, or the help line back."""
        line = self.query_one(".form-help", TextBlock)
        self.set_class(problem is not None and problem.severity == "error", "-invalid")
        if problem is None:
            line.show(self._help())
            return
        colour = "$error" if problem.severity == "error" else "$warning"
        line.show(Content.styled(f"! {neutralise(f'{problem.message} {problem.hint}'.strip())}", colour))

    def set_value(self, text: str) -> None:
        """Put a value in, as if it had been typed."""
        self.query_one(Input).value = text

    def show_value(self, text: str) -> None:
        """Show a value that came from elsewhere, unless it is being typed here."""
        if text != str(self._value) and not self.has_focus_within:
            self._value = text
            self.set_value(text)

    def put_value(self, value: object) -> None:
        """Show a value that the profile holds by now, also while this field has the focus; it is no edit."""
        self._value = show_hosts(value) if self.dotted == "nodes.hosts" else value
        editor = self.query_one(".form-value")
        if isinstance(editor, Checkbox) and isinstance(value, bool):
            editor.value = value
        elif isinstance(editor, Select):
            with contextlib.suppress(InvalidSelectValueError):  # written by hand: the line below says what is wrong
                editor.value = str(value)
        elif isinstance(editor, Input):
            editor.value = str(self._value)
            editor.cursor_position = len(editor.value)

    @property
    def value(self) -> Any:  # noqa: ANN401 - str, or bool of a checkbox
        """What the editor holds."""
        return self.query_one(".form-value").value  # type: ignore[attr-defined]

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _changed(self, event: Input.Changed | Select.Changed | Checkbox.Changed) -> None:
        event.stop()
        if str(event.value) != str(self._value):
            self._value = event.value
            self.post_message(TextEdited(self.section, self.field, str(event.value)))
