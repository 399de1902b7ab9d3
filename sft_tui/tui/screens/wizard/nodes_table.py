"""The nodes of a training as rows, in the order of node_rank: added, edited, removed and moved by keys."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.screens.dialogs.node_dialog import NodeDialog
from sft_tui.tui.widgets.field_messages import ValueEdited

COLUMNS = ("rank", "host", "user", "port", "workers", "details")
DETAILS = ("identity_file", "options", "python", "work_dir")


class NodesTable(DataTable[Text]):
    """Shows nodes, as a profile's file has them, and tells of every change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,insert", "add", "Add", key_display="a"),
        Binding("enter", "edit", "Edit"),
        Binding("d,delete", "remove", "Remove", key_display="d"),
        Binding("K,shift+up", "move(-1)", "Earlier", key_display="K"),
        Binding("J,shift+down", "move(1)", "Later", key_display="J"),
    ]

    def __init__(self) -> None:
        super().__init__(id="nodes-table", cursor_type="row")
        self._listed: list[dict[str, Any]] = []
        self._next_row: int | None = None

    def on_mount(self) -> None:
        self.add_columns(*COLUMNS)

    def show(self, nodes: object) -> None:
        """Draw these; what is no list of nodes is not drawn."""
        listed = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, (list, tuple)) else []
        if listed == self._listed:
            return
        row = self.cursor_row if self._next_row is None else self._next_row
        self._listed, self._next_row = deepcopy(listed), None
        self.clear()
        for rank, node in enumerate(listed):
            self.add_row(*(Text(neutralise(cell)) for cell in _cells(rank, node)))
        self.move_cursor(row=max(0, min(row, len(listed) - 1)))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the row under the cursor; below a dialog nothing."""
        if not self.screen.is_active:
            return False
        if action in ("edit", "remove"):
            return bool(self._listed)
        if action == "move":
            return 0 <= self.cursor_row + (1 if parameters == (1,) else -1) < len(self._listed)
        return True

    def action_cursor_up(self) -> None:
        """Above the first row is the field before the table."""
        if self.cursor_row > 0:
            super().action_cursor_up()
        else:
            self.screen.focus_previous()

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self.refresh_bindings()

    def action_add(self) -> None:
        """A node behind the one under the cursor, and like it: nodes are mostly alike."""
        place = self.cursor_row + 1 if self._listed else 0
        start = {**self._listed[place - 1], "host": ""} if place else {}
        self._ask("Another node", start, place, place)

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_edit()

    def action_edit(self) -> None:
        """Edit the node under the cursor."""
        place = self.cursor_row
        self._ask(f"Node {place}", self._listed[place], place, place + 1)

    def _ask(self, title: str, node: dict[str, Any], start: int, end: int) -> None:
        """Put what the dialog gives in the place of the nodes from `start` to before `end`."""

        def take(answer: dict[str, Any] | None) -> None:
            if answer is not None:
                self._change([*self._listed[:start], answer, *self._listed[end:]], start)

        self.app.push_screen(NodeDialog(title, node), take)

    def action_remove(self) -> None:
        """Take the node under the cursor off the list."""
        place = self.cursor_row
        self._change([*self._listed[:place], *self._listed[place + 1 :]], place)

    def action_move(self, by: int) -> None:
        """Let the node under the cursor and its neighbour change ranks."""
        place = self.cursor_row
        nodes = list(self._listed)
        nodes.insert(place + by, nodes.pop(place))
        self._change(nodes, place + by)

    def _change(self, nodes: list[dict[str, Any]], row: int) -> None:
        """Tell of them; they are drawn when the profile has them, with the cursor in that row."""
        self._next_row = row
        self.post_message(ValueEdited("nodes", "hosts", deepcopy(nodes)))


def _cells(rank: int, node: dict[str, Any]) -> tuple[str, ...]:
    """What a row says; nothing chosen is as everywhere else, a dash."""
    details = (node.get(name) for name in DETAILS)
    words = [" ".join(map(str, d)) if isinstance(d, (list, tuple)) else str(d) for d in details if d]
    values = (node.get("host"), node.get("user"), node.get("port"), node.get("local_worker_num", 1))
    return (str(rank), *(str(value) if value else "-" for value in values), ", ".join(words) or "as here")
