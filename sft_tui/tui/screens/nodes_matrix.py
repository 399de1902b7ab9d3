"""All nodes, looked at at once: a row for each, drawn as it answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Optional

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Label

from sft_tui.core.nodes import Launch
from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.background import run_guarded
from sft_tui.tui.bridge import BackgroundFailed
from sft_tui.tui.widgets.text_block import TextBlock

if TYPE_CHECKING:
    from sft_tui.cluster.node_checks import NodeFinding
    from sft_tui.cluster.node_matrix import NodeMatrix

_NAME_WIDTH = 13
_SIGNS = {"ok": ("ok", ""), "warning": ("!", "bold $warning"), "failed": ("FAIL", "bold reverse")}


@dataclass(frozen=True)
class NodeRow:
    """What one node has answered so far; no cells: nothing yet."""

    rank: int
    host: str
    cells: tuple[tuple[str, str], ...]  # check and verdict
    wrong: tuple[str, ...]


class NodesMatrix(ModalScreen[None]):
    """Asks when it opens, and again on request."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "look", "Again"),
        Binding("escape,q", "close", "Close", priority=True),
    ]

    @dataclass
    class Answered(Message):
        """Some nodes have answered; `is_all`: nothing more will come of this look."""

        look: int
        rows: tuple[NodeRow, ...]
        is_all: bool

    def __init__(self, launch: Launch) -> None:
        super().__init__(classes="dialog")
        self._launch = launch
        self._look = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box", id="matrix-box"):
            yield TextBlock(id="matrix-head")
            yield TextBlock(id="matrix-rows")
            yield Label("r look again   up, down scroll   escape close", classes="dialog-keys")

    def on_mount(self) -> None:
        self.action_look()

    def action_look(self) -> None:
        """Ask all nodes."""
        self._look += 1
        self._show((), is_all=False)
        work = partial(self._ask, self._look)
        threading.Thread(target=run_guarded, args=(work, self.post_message), daemon=True).start()

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)

    def _ask(self, look: int) -> Optional[Message]:
        """In a thread: what is posted no longer changes."""
        from sft_tui.cluster.node_matrix import examine_nodes

        rows: tuple[NodeRow, ...] = ()
        for _, matrix in examine_nodes(self._launch):
            rows = read_rows(matrix)
            self.post_message(self.Answered(look, rows, is_all=False))
            whole = matrix
        return self.Answered(look, read_rows(whole), is_all=True) if rows else None

    @on(Answered)
    def _answered(self, message: Answered) -> None:
        if message.look == self._look:
            self._show(message.rows, is_all=message.is_all)

    @on(BackgroundFailed)
    def _failed(self, message: BackgroundFailed) -> None:
        message.stop()
        self.query_one("#matrix-head", TextBlock).show(Content.styled(neutralise(message.message), "bold $error"))

    def _show(self, rows: tuple[NodeRow, ...], *, is_all: bool) -> None:
        total = len(self._launch.parts)
        known = {row.rank: row for row in rows}
        failed = sum(any(verdict == "failed" for _, verdict in row.cells) for row in rows)
        head = f"{len(rows)} of {total} nodes have answered"
        if is_all:
            head += f"; not fit: {failed}, training would not start" if failed else "; training can start on them"
        self.query_one("#matrix-head", TextBlock).show(Content.styled(head, "bold"))
        waiting = [NodeRow(p.rank, p.node.host, (), ()) for p in self._launch.parts if p.rank not in known]
        self.query_one("#matrix-rows", TextBlock).show(_table([*sorted(rows, key=_worst_first), *waiting]))


def read_rows(matrix: NodeMatrix) -> tuple[NodeRow, ...]:
    """A row for each node that has been judged."""
    names = {part.rank: part.node.host for part in matrix.launch.parts}
    judged = sorted({finding.rank for finding in matrix.findings})
    return tuple(
        NodeRow(
            rank,
            names[rank],
            tuple((check, finding.verdict) for check, finding in matrix.row(rank).items()),
            tuple(_sentence(f) for f in matrix.findings if f.rank == rank and f.verdict != "ok"),
        )
        for rank in judged
    )


def _sentence(finding: NodeFinding) -> str:
    return f"node {finding.rank} ({finding.host}), {finding.check}: {finding.text}. {finding.hint}"


def _worst_first(row: NodeRow) -> tuple[int, int]:
    verdicts = {verdict for _, verdict in row.cells}
    return (0 if "failed" in verdicts else 1 if "warning" in verdicts else 2), row.rank


def _table(rows: list[NodeRow]) -> Content:
    from sft_tui.cluster.node_checks import CHECKS

    parts: list[Content | str | tuple[str, str]] = [("node".ljust(_NAME_WIDTH), "bold")]
    parts += [(f"{check} ".ljust(5), "bold") for check in CHECKS]
    for row in rows:
        name = f"{row.rank} {neutralise(row.host)}"[: _NAME_WIDTH - 1]
        parts.append(f"\n{name.ljust(_NAME_WIDTH)}")
        verdicts = dict(row.cells)
        for check in CHECKS:
            sign, style = _SIGNS.get(verdicts.get(check, ""), ("-", "dim") if row.cells else ("...", "dim"))
            parts += [(sign, style), " " * (max(5, len(check) + 1) - len(sign))]
    for sentence in (sentence for row in rows for sentence in row.wrong):
        parts.append(f"\n{neutralise(sentence)}")
    return Content.assemble(*parts)
