"""Training: epochs, batch, learning rate, how it is shared out, and what memory it takes."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Select

from sft_tui.core.memory.text import layout_line, memory_line, memory_lines
from sft_tui.core.terminal_text import neutralise, short_size
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.run_spec import save_steps, training_schedule
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.form_field import FormField
from sft_tui.tui.widgets.text_block import TextBlock

LORA_FIELDS = frozenset({"lora_rank", "lora_alpha", "lora_dropout", "lora_targets"})


class TrainingScreen(FormScreen):
    """How training goes."""

    STEP = "training"
    ABOUT = "What MindFormers is told. The YAML is written below the run's folder."

    _offered: tuple[Path, ...] = ()

    def compose_above(self) -> ComposeResult:
        """The verdict on memory (its table is far down on a small terminal), and MindFormers' own configurations."""
        yield TextBlock(id="memory")
        yield Select[str]([], prompt="Configurations of MindFormers to start from", id="bases", compact=True)

    @on(Select.Changed, "#bases")
    def _take_base(self, event: Select.Changed) -> None:
        event.stop()
        if isinstance(event.value, str):
            self.query_one("#field-training-base_yaml", FormField).set_value(event.value)

    def draw(self, session: Session) -> None:
        super().draw(session)
        findings = session.findings
        offered = findings.base_configs if findings else ()
        bases = self.query_one("#bases", Select)
        bases.display = bool(offered)
        if offered != self._offered:
            self._offered = offered
            bases.set_options([(Content(neutralise("/".join(path.parts[-3:]))), str(path)) for path in offered])
        workload = findings.workload if findings else None
        self.query_one("#memory", TextBlock).show(Content(neutralise(memory_line(*workload)) if workload else ""))

    def pointless_fields(self, session: Session) -> frozenset[str]:
        """Those of adapters, where all parameters are trained, and of experts, where there are none."""
        method = session.data.get("training", {}).get("method", "full")
        model = session.findings.checkpoint.config if session.findings else None
        of_experts = frozenset() if model is not None and model.num_experts else frozenset({"expert_parallel"})
        return of_experts | (frozenset() if method == "lora" else LORA_FIELDS)

    def found_lines(self, session: Session) -> list[str]:
        """Steps, checkpoints, disk, memory, and the base of the YAML."""
        findings, profile = session.findings, session.readable
        assert findings is not None
        if findings.facts is None or profile is None:
            return ["Steps are counted once Environment (F1), Model (F2) and Dataset (F4) are in order."]
        schedule = training_schedule(profile, findings.facts)
        batch = schedule.rows_per_step * (profile.nodes.worker_num if profile.environment.device_target == "CPU" else 1)
        about, rows = "about " if findings.facts.foretold else "", findings.facts.rows_in_words
        lines = [
            "What happens",
            f"{about}{schedule.steps} steps of {batch} samples, {profile.dataset.seq_length} tokens each",
            f"each worker reads {schedule.rows_per_rank} of {about}{rows} an epoch in"
            f" {schedule.steps_per_epoch} steps; {schedule.left_out} fill no step",
            f"a checkpoint every {save_steps(profile, findings.facts)} steps in {work_paths(profile).run_dir}",
        ]
        needed = short_size(findings.needed_bytes)
        lines.append(f"disk for weights, data and the newest three checkpoints: about {needed}")
        lines.append(_base_line(session))
        if findings.workload is not None:
            lines += [layout_line(findings.workload[0]), "", *memory_lines(*findings.workload)]
        return lines


def _base_line(session: Session) -> str:
    assert session.findings is not None and session.findings.facts is not None
    known = session.findings.base_configs
    if session.findings.facts.base_yaml:
        return f"the YAML starts from {session.findings.facts.base_yaml_path}; Review (F7) shows the changes"
    if known:
        return f"the YAML is built; MindFormers has {len(known)} to start from: {known[0]}"
    return "the YAML is built from config.json"
