"""Nodes: workers on this host."""

from __future__ import annotations

from sft_tui.tui.screens.form import FormScreen
from sft_tui.tui.session import Session


class NodesScreen(FormScreen):
    """How many workers train."""

    STEP = "nodes"
    ABOUT = "One worker runs by itself; more are started by msrun, all on this host."

    def found_lines(self, session: Session) -> list[str]:
        """How the workers are started."""
        assert session.findings is not None
        facts, profile = session.findings.environment, session.readable
        workers = profile.nodes.worker_num if profile else 1
        if workers == 1:
            return ["One worker: MindFormers is started directly, without msrun."]
        return [f"{workers} workers are started by {facts.msrun or 'msrun (not found)'}"]
