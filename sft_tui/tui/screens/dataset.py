"""Dataset: alpaca files, held-out data, template and sequence length."""

from __future__ import annotations

from sft_tui.core.terminal_text import short_size
from sft_tui.tui.screens.form import FormScreen
from sft_tui.tui.session import Session


class DatasetScreen(FormScreen):
    """The data to learn from."""

    STEP = "dataset"
    ABOUT = "Alpaca records become conversations, then MindRecord. ctrl+t prepares the data now."

    def found_lines(self, session: Session) -> list[str]:
        """Records, and what is wrong with them."""
        assert session.findings is not None
        findings = session.findings
        lines = ["Found"]
        for name, report in (("training", findings.train), ("held out", findings.evaluation)):
            if report is not None:
                lines.append(
                    f"{name:9} {report.path}: {report.count} records"
                    f" ({report.with_input} with input), {short_size(report.size)}"
                )
                if report.empty_outputs:
                    lines.append(f"          {report.empty_outputs} have an empty output: nothing is learned from them")
                lines += [f"! {p.message} {p.hint}" for p in report.problems]
        facts = findings.facts
        if facts is not None:
            lines.append(f"train on {facts.train_records} records, hold out {facts.eval_records}")
        return lines
