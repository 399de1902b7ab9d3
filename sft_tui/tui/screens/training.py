"""Training: epochs, batch, learning rate, checkpoints."""

from __future__ import annotations

from sft_tui.checks import needed_bytes
from sft_tui.core.terminal_text import short_size
from sft_tui.launch.steps import work_paths
from sft_tui.launch.training_config import save_steps, training_schedule
from sft_tui.tui.screens.form import FormScreen
from sft_tui.tui.session import Session


class TrainingScreen(FormScreen):
    """How training goes."""

    STEP = "training"
    ABOUT = "What MindFormers is told. The YAML is written below the run's folder."

    def found_lines(self, session: Session) -> list[str]:
        """Steps, checkpoints and disk."""
        findings, profile = session.findings, session.readable
        assert findings is not None
        if findings.facts is None or profile is None:
            return ["Steps are counted once Environment (F1), Model (F2) and Dataset (F4) are in order."]
        schedule = training_schedule(profile, findings.facts)
        batch = profile.training.batch_size * profile.nodes.worker_num
        lines = [
            "What happens",
            f"{schedule.steps} steps of {batch} samples, {profile.dataset.seq_length} tokens each",
            f"each worker reads {schedule.rows_per_rank} of {findings.facts.train_records} records an epoch in"
            f" {schedule.steps_per_epoch} steps; {schedule.left_out} fill no step",
            f"a checkpoint every {save_steps(profile, findings.facts)} steps in {work_paths(profile).run_dir}",
        ]
        if findings.train is not None:
            needed = needed_bytes(profile, findings.checkpoint, findings.train)
            lines.append(f"disk for weights, data and the newest three checkpoints: about {short_size(needed)}")
        return lines
