"""Model: the catalogue, the folder, and what is in it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Select

from sft_tui.checkpoint.inspect.text import describe_checkpoint
from sft_tui.core.terminal_text import short_size
from sft_tui.families.catalogue import CATALOGUE, describe_model, find_entry
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.text_block import TextBlock


class ModelScreen(FormScreen):
    """The checkpoint to start from."""

    STEP = "model"
    ABOUT = (
        "The Hugging Face folder to start from. The list tells what fits and how to fetch it; then choose the folder. "
        "A ready .ckpt of MindFormers takes its place, with its tokenizer."
    )

    def compose_above(self) -> ComposeResult:
        """The catalogue."""
        options = [(f"{model.name}  ({model.parameters_billion:g} B)", model.repo) for _, model in CATALOGUE]
        yield Select(options, prompt="Catalogue: models that fit this way", id="catalogue", compact=True)
        yield TextBlock(id="catalogue-entry")

    @on(Select.Changed, "#catalogue")
    def _show_entry(self, event: Select.Changed) -> None:
        event.stop()
        entry = find_entry(str(event.value))
        lines = describe_model(*entry) if entry else []
        self.query_one("#catalogue-entry", TextBlock).show(Content("\n".join(lines)))

    def found_lines(self, session: Session) -> list[str]:
        """Files by role, family, parameters, and the tokenizer."""
        assert session.findings is not None
        report = session.findings.checkpoint
        problems = [f"! {p.message} {p.hint}" for p in report.problems]
        if not report.files:
            return problems or ["Choose the model folder, or a ready checkpoint: ctrl+o browses."]
        folder, *files = describe_checkpoint(report)
        # what the model is comes first: a narrow terminal has no room for all the files
        about = [files.pop()] if report.config or report.ready else []
        if session.findings.tokenizer_vocab:
            about.append(f"tokenizer: {session.findings.tokenizer_vocab} pieces")
        if report.ready is not None:
            about.append("weights are taken from it as they are: nothing is converted")
        elif report.config and not report.direct:
            about.append(f".ckpt will take {short_size(report.output_bytes(_dtype(session)))}")
        return ["Found", *problems, *about, folder, *files]


def _dtype(session: Session) -> str:
    return session.readable.weights.dtype if session.readable else "fp32"
