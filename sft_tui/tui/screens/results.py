"""Results: the gain, the checkpoint, and how to use it."""

from __future__ import annotations

import json
from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from sft_tui.core.terminal_text import neutralise
from sft_tui.launch.steps import work_paths
from sft_tui.launch.summary import SUMMARY_SCHEMA_VERSION, RunSummary
from sft_tui.tui.screens.base import WizardScreen
from sft_tui.tui.session import Session


class ResultsScreen(WizardScreen):
    """What the run brought."""

    STEP = "results"
    ABOUT = "What the newest run of this profile brought."

    def compose_content(self) -> ComposeResult:
        yield Static(id="results")

    def draw(self, session: Session) -> None:
        super().draw(session)
        self.query_one("#results", Static).update(Content("\n".join(map(neutralise, _lines(session)))))


def _lines(session: Session) -> list[str]:
    profile = session.profile
    if profile is None:
        return ["The profile is not complete yet."]
    paths = work_paths(profile)
    summary = load_summary(Path(paths.summary))
    if summary is None:
        return [f"Run {profile.training.run_name} has no results yet. Review & launch (F7) starts it."]
    lines = [f"run {profile.training.run_name}", *summary.lines(), ""]
    if profile.rehearsal:
        lines += ["This was a rehearsal on a toy model: the way is real, the answers mean nothing.", ""]
    return [*lines, f"folder  {paths.run_dir}", f"YAML    {paths.config('train')}", f"summary {paths.summary}"]


def load_summary(path: Path) -> RunSummary | None:
    """The summary that the last step of a job wrote, or None."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("gained", None)
        return RunSummary(**data) if data.get("schema_version") == SUMMARY_SCHEMA_VERSION else None
    except (OSError, ValueError, TypeError):
        return None
