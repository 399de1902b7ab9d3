"""Environment: interpreter, MindSpore, MindFormers, device, working folder."""

from __future__ import annotations

from sft_tui.stack.releases import KNOWN
from sft_tui.stack.verdict import judge
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.session import Session


class EnvironmentScreen(FormScreen):
    """Which software trains, on what, and where its files go."""

    STEP = "environment"
    ABOUT = "Which Python trains, on which device, and where the files go. New here? F10 has rehearsals on CPU as well."

    def found_lines(self, session: Session) -> list[str]:
        """Versions, and what fits together."""
        assert session.findings is not None
        facts = session.findings.environment
        rows = (
            ("Python", facts.python_version),
            ("MindSpore", facts.mindspore),
            ("MindFormers", facts.mindformers_version),
            ("run_mindformer.py", facts.run_mindformer or "our own runner stands in for it"),
            ("msrun", facts.msrun),
            ("CANN", facts.cann),
            ("Ascend driver", facts.driver),
        )
        verdicts = {verdict.thing: verdict for verdict in judge(facts)}
        lines = []
        for name, value in rows:
            lines.append(
                f"{name:18} {value or 'not found'}" + (f"  [{verdicts[name].word}]" if name in verdicts else "")
            )
            if name in verdicts and verdicts[name].reason:
                lines.append(f"{'':18} because {verdicts[name].reason}")
        return ["Found", *lines, f"Pairs that fit: MindFormers {KNOWN}"]
