"""Nodes: workers on this host, or on several."""

from __future__ import annotations

from sft_tui.tui.screens.form import FormScreen
from sft_tui.tui.session import Session


class NodesScreen(FormScreen):
    """How many workers train."""

    STEP = "nodes"
    ABOUT = "One worker runs by itself; more are started by msrun, on this host or on those named here."

    def found_lines(self, session: Session) -> list[str]:
        """How the workers are started."""
        assert session.findings is not None
        facts, profile = session.findings.environment, session.readable
        workers = profile.nodes.worker_num if profile else 1
        if profile and profile.nodes.hosts:
            names = [f"node {rank}: {node.typed}" for rank, node in enumerate(profile.nodes.hosts)]
            look = f"sft-tui doctor --profile {profile.name} looks at all of them."
            return [f"{workers} workers, on {len(names)} nodes reached over SSH. {look}", *names]
        if workers == 1:
            return ["One worker: MindFormers is started directly, without msrun."]
        return [f"{workers} workers are started by {facts.msrun or 'msrun (not found)'}"]
