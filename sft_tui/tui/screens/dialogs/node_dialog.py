"""One node of a training: every field of it, checked before it is taken."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from sft_tui.core.nodes import Node, parse_node, show_field
from sft_tui.core.profile_problems import node_problems
from sft_tui.tui.widgets.field_messages import TextEdited
from sft_tui.tui.widgets.form_field import FormField


class NodeDialog(ModalScreen["dict[str, Any] | None"]):
    """Returns the node as data, or None."""

    AUTO_FOCUS = ".form-value"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, title: str, node: dict[str, Any]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._texts = {
            name: show_field(node.get(name, "" if info.is_required() else info.default))
            for name, info in Node.model_fields.items()
        }

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box", id="node-box", can_focus=False):
            yield Label(self._title, markup=False)
            for name, info in Node.model_fields.items():
                yield FormField("node", name, info, self._texts[name])
            yield Label("enter takes it   tab, up, down move   escape cancels", classes="dialog-keys")

    @on(TextEdited)
    def _edited(self, event: TextEdited) -> None:
        event.stop()
        self._texts[event.field] = event.text
        self.query_one(f"#field-node-{event.field}", FormField).show_problem(None)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        node = parse_node(self._texts)
        problems = {problem.field: problem for problem in reversed(node_problems(node))}
        for field in self.query(FormField):
            field.show_problem(problems.get(field.field))
        wrong = [field for field in self.query(FormField) if field.field in problems]
        if wrong:
            wrong[0].query_one(".form-value").focus()
        else:
            self.dismiss(node)

    def action_cancel(self) -> None:
        """Leave the nodes as they are."""
        self.dismiss(None)
