"""Weights: precision of the .ckpt, and its conversion."""

from __future__ import annotations

from sft_tui.core.terminal_text import short_size
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.session import Session


class WeightsScreen(FormScreen):
    """How the weights are converted."""

    STEP = "weights"
    ABOUT = "Tensors are copied from file to file, in constant memory. ctrl+t converts now; launching converts as well."

    def found_lines(self, session: Session) -> list[str]:
        """What will be written where."""
        assert session.findings is not None
        report, profile = session.findings.checkpoint, session.readable
        if report.config is None or profile is None:
            return ["There are no weights to start from yet: see step Model (F2)."]
        if report.ready is not None:
            return [
                "Nothing is to be converted: training loads this file as it is, and precision and verify mean nothing.",
                f"from  {report.ckpt} ({report.parameters:,} parameters, {report.dtype})",
            ]
        if report.direct:
            exported = work_paths(profile).exported
            return [
                "Nothing is to be converted: MindFormers loads this folder as it is.",
                f"After training the step export writes a folder of that kind ({profile.weights.dtype}): {exported}",
            ]
        size = report.output_bytes(profile.weights.dtype)
        lines = [
            "What happens",
            f"from  {profile.model.hf_dir} ({report.parameters:,} parameters, {report.dtype})",
            f"to    {work_paths(profile).ckpt} ({profile.weights.dtype}, {short_size(size)})",
        ]
        if profile.weights.verify:
            lines.append(f"verify reads {short_size(size + report.total_bytes)} again")
        if "convert-weight" in session.current_steps:
            lines.append("done: the file is there, made from these very files")
        return lines
