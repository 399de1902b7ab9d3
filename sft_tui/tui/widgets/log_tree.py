"""The logs of a job: by step and writer, with the number of errors in each."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import ClassVar, Mapping, Sequence

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from sft_tui.core.terminal_text import neutralise
from sft_tui.logs.files import LogFile

OPEN_UP_TO = 12  # files of a writer that are listed without being asked for

Logs = tuple[LogFile, ...]


class LogTree(Tree[Logs]):
    """A node stands for its log, or for all below it, merged."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Show")]

    def __init__(self) -> None:
        super().__init__("logs", id="log-tree")
        self.auto_expand = False
        self.show_root = False
        self.guide_depth = 2
        self._logs: Logs = ()

    def show(self, files: Sequence[LogFile], errors: Mapping[Path, tuple[int, bool]]) -> None:
        """Draw these logs; nodes stay as they are where only the numbers changed."""
        if tuple(files) != self._logs:
            self._logs = tuple(files)
            self._list_anew()
        for node in _all_nodes(self.root):
            label = _label(node.data or (), errors, is_group=node.allow_expand)
            if label != node.label:
                node.set_label(label)

    def point_at(self, logs: Logs) -> None:
        """Put the cursor on the node of these."""
        for node in _all_nodes(self.root):
            if node.data == logs and not node.allow_expand:
                self.move_cursor(node)

    def _list_anew(self) -> None:
        at = self.cursor_node.data if self.cursor_node is not None else None
        self.clear()
        self.root.data = self._logs
        for step, of_step in groupby(self._logs, key=lambda file: file.step):
            logs = tuple(of_step)
            branch = self.root.add(step or "job", data=logs, expand=True)
            for _, of_writer in groupby(logs, key=lambda file: file.writer):
                self._add_writer(branch, tuple(of_writer))
        self.root.expand()
        for node in _all_nodes(self.root):
            if at is not None and node.data == at:
                self.move_cursor(node)

    def _add_writer(self, branch: TreeNode[Logs], logs: Logs) -> None:
        if len(logs) == 1:
            branch.add_leaf(logs[0].name, data=logs)
            return
        group = branch.add(logs[0].writer, data=logs, expand=len(logs) <= OPEN_UP_TO)
        for log in logs:
            group.add_leaf(log.name, data=(log,))


def _all_nodes(node: TreeNode[Logs]) -> list[TreeNode[Logs]]:
    return [found for child in node.children for found in (child, *_all_nodes(child))]


def _label(logs: Logs, errors: Mapping[Path, tuple[int, bool]], *, is_group: bool) -> Text:
    if not logs:
        return Text("")
    counts = [errors.get(log.path, (0, False)) for log in logs]
    count, more = sum(c for c, _ in counts), any(unfinished for _, unfinished in counts)
    first = logs[0]
    name = first.name if not is_group else first.step or "job"
    if is_group and len({log.writer for log in logs}) == 1 and len(logs) > 1:
        name = f"{first.writer}: {len(logs)} logs"
    text = Text(neutralise(name))
    if count or more:
        text.append(f"  {count}{'+' if more else ''} error{'s' if count != 1 else ''}", "bold red" if count else "dim")
    return text
