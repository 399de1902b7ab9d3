"""Choose a folder or a file with the keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Iterable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DirectoryTree, Footer, Label


class _Tree(DirectoryTree):
    def __init__(self, path: Path, *, folders_only: bool) -> None:
        super().__init__(path)
        self._folders_only = folders_only

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        return [p for p in paths if not p.name.startswith(".") and (p.is_dir() or not self._folders_only)]


class PathPicker(ModalScreen[str]):
    """Returns the chosen path, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+o", "choose", "Choose", priority=True),
        Binding("backspace", "up", "Folder above"),
    ]

    def __init__(self, start: Path, *, kind: str, title: str) -> None:
        super().__init__(id="path-picker")
        self._start = start
        self._kind = kind
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(id="picker-box"):
            yield Label(f"{self._title}: choose a {self._kind}", id="picker-title")
            yield Label(str(self._start), id="picker-path")
            yield _Tree(self._start, folders_only=self._kind == "folder")
            yield Label("enter opens a folder, ctrl+o chooses what is marked", id="picker-help")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(_Tree).focus()

    @property
    def _marked(self) -> Path:
        node = self.query_one(_Tree).cursor_node
        return node.data.path if node is not None and node.data is not None else self._start

    @on(DirectoryTree.NodeHighlighted)
    def _show(self) -> None:
        self.query_one("#picker-path", Label).update(str(self._marked))

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
        self.query_one("#picker-path", Label).update(str(tree.path))
