"""Model: the catalogue, the folder, and what is in it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Select, Static

from sft_tui.checkpoint.catalogue import CATALOGUE, find_entry
from sft_tui.checkpoint.describe import describe_checkpoint
from sft_tui.core.terminal_text import short_size
from sft_tui.tui.screens.base import FormScreen
from sft_tui.tui.session import Session


class ModelScreen(FormScreen):
    """The checkpoint to start from."""

    STEP = "model"
    ABOUT = (
        "The Hugging Face folder to start from. The list tells what fits and how to fetch it; then choose the folder."
    )

    def compose_above(self) -> ComposeResult:
        """The catalogue."""
        options = [(f"{e.name}  ({e.parameters_billion:g} B)", e.repo) for e in CATALOGUE]
        yield Select(options, prompt="Catalogue: models that fit this way", id="catalogue", compact=True)
        yield Static(id="catalogue-entry")

    @on(Select.Changed, "#catalogue")
    def _show_entry(self, event: Select.Changed) -> None:
        event.stop()
        entry = find_entry(str(event.value))
        lines = entry.lines() if entry else []
        self.query_one("#catalogue-entry", Static).update(Content("\n".join(lines)))

    def found_lines(self, session: Session) -> list[str]:
        """Files by role, family, parameters, and the tokenizer."""
        assert session.findings is not None
        report = session.findings.checkpoint
        if not report.files:
            return [f"! {p.message} {p.hint}" for p in report.problems]
        lines = ["Found", *describe_checkpoint(report)]
        if session.findings.tokenizer_vocab:
            lines.append(f"tokenizer: {session.findings.tokenizer_vocab} pieces")
        lines += [f"! {p.message} {p.hint}" for p in report.problems]
        return (
            [*lines, f".ckpt will take {short_size(report.output_bytes(_dtype(session)))}"] if report.config else lines
        )


def _dtype(session: Session) -> str:
    return session.profile.weights.dtype if session.profile else "fp32"
