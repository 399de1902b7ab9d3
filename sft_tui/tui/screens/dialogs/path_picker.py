"""Choose a folder or a file with the keyboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Iterable

from rich.text import Text, TextType
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import DirectoryTree, Label

from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.widgets.key_line import KeyLine


class _Tree(DirectoryTree):
    """Asks the disk in a thread (Textual's own); names of files are made harmless."""

    def __init__(self, path: Path, *, folders_only: bool) -> None:
        super().__init__(path)
        self._folders_only = folders_only
        self.hidden_shown = False

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        shown = (p for p in paths if self.hidden_shown or not p.name.startswith("."))
        # os.path, because Path.is_dir raises for what may not be read
        return [p for p in shown if not self._folders_only or os.path.isdir(p)]  # noqa: PTH112

    def process_label(self, label: TextType) -> Text:
        return Text(neutralise(str(label)).replace("\n", " "))


class PathPicker(ModalScreen[str]):
    """Returns the chosen path, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+o", "choose", "Choose", priority=True),
        Binding("backspace", "up", "Folder above"),
        Binding("full_stop", "hidden", "Hidden files"),
    ]

    def __init__(self, start: Path, *, kind: str, title: str) -> None:
        super().__init__(id="path-picker")
        self._start = start
        self._kind = kind
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(id="picker-box"):
            yield Label(f"{self._title}: choose a {self._kind}", id="picker-title")
            yield Label(_shown(self._start), id="picker-path")
            yield _Tree(self._start, folders_only=self._kind == "folder")
            yield Label("enter opens a folder, ctrl+o chooses what is marked", id="picker-help")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(_Tree).focus()

    @property
    def _marked(self) -> Path:
        node = self.query_one(_Tree).cursor_node
        return node.data.path if node is not None and node.data is not None else self._start

    @on(DirectoryTree.NodeHighlighted)
    def _show(self) -> None:
        self.query_one("#picker-path", Label).update(_shown(self._marked))

    @on(DirectoryTree.FileSelected)
    def _file(self, event: DirectoryTree.FileSelected) -> None:
        if self._kind == "file":
            self.dismiss(str(event.path))

    def action_choose(self) -> None:
        """Take what is marked."""
        self.dismiss(str(self._marked))

    def action_cancel(self) -> None:
        """Take nothing."""
        self.dismiss("")

    def action_up(self) -> None:
        """Show the folder above."""
        tree = self.query_one(_Tree)
        tree.path = Path(tree.path).absolute().parent
        self.query_one("#picker-path", Label).update(_shown(Path(tree.path)))

    def action_hidden(self) -> None:
        """Show files that begin with a dot, or leave them out; the Hugging Face cache lies in such a folder."""
        tree = self.query_one(_Tree)
        tree.hidden_shown = not tree.hidden_shown
        tree.reload()


def _shown(path: Path) -> Content:
    return Content(neutralise(str(path)))
