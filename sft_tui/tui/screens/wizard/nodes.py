"""Nodes: workers on this host, or on several."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from sft_tui.core.nodes import show_hosts
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.screens.wizard.nodes_table import NodesTable
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.form_field import FormField


class NodesScreen(FormScreen):
    """How many workers train, and where."""

    STEP = "nodes"
    ABOUT = "One worker runs by itself; more are started by msrun, on this host or on those named below."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+g", "look", "Look at nodes")]

    def compose_below(self) -> ComposeResult:
        yield NodesTable()

    def draw(self, session: Session) -> None:
        super().draw(session)
        hosts = session.data.get("nodes", {}).get("hosts", ())
        self.query_one("#field-nodes-hosts", FormField).show_value(show_hosts(hosts))
        self.query_one(NodesTable).show(hosts)

    def found_lines(self, session: Session) -> list[str]:
        """How the workers are started, and the nodes as a table."""
        assert session.findings is not None
        facts, profile = session.findings.environment, session.readable
        workers = profile.nodes.worker_num if profile else 1
        if profile and profile.nodes.hosts:
            when = "ctrl+g looks at all nodes." if session.plan else "They are looked at once F7 has no problems."
            return [f"{workers} workers, started over SSH. {when}"]
        if workers == 1:
            return ["One worker: MindFormers is started directly, without msrun."]
        return [f"{workers} workers are started by {facts.msrun or 'msrun (not found)'}"]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nodes can be looked at once the plan says what they will do."""
        if action == "look":
            profile = self.session.readable
            return self.is_active and bool(profile and profile.nodes.hosts and self.session.plan)
        return super().check_action(action, parameters)

    def action_look(self) -> None:
        """Show what all nodes answer."""
        from sft_tui.launch.plan.nodes import launches
        from sft_tui.tui.screens.nodes_matrix import NodesMatrix

        found = launches(self.session.plan) if self.session.plan else []
        if found:
            self.app.push_screen(NodesMatrix(found[0]))
