"""Results: the gain, the checkpoint, and how to use it."""

from __future__ import annotations

import shlex

from textual.app import ComposeResult
from textual.content import Content

from sft_tui.core.profile import Profile
from sft_tui.core.terminal_text import neutralise
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.run_spec import is_distributed
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.text_block import TextBlock


class ResultsScreen(WizardScreen):
    """What the run brought."""

    STEP = "results"
    ABOUT = "What the newest run of this profile brought."

    def compose_content(self) -> ComposeResult:
        yield TextBlock(id="results")

    def draw(self, session: Session) -> None:
        super().draw(session)
        self.query_one("#results", TextBlock).show(Content("\n".join(map(neutralise, _lines(session)))))


def _lines(session: Session) -> list[str]:
    profile, summary = session.readable, session.summary
    if profile is None or session.findings is None:
        return ["looking ..." if session.examining else "The profile cannot be read: Review & launch (F7) says why."]
    if summary is None:
        name = profile.training.run_name
        if session.job_runs:
            return [f"Run {name} has no results yet. Monitor (F8) shows how far it is."]
        return [f"Run {name} has no results yet. Review & launch (F7) shows what would run; ctrl+r starts it."]
    paths = work_paths(profile)
    lines = [f"run {profile.training.run_name}", *summary.lines(), ""]
    if profile.rehearsal:
        lines += ["This was a rehearsal on a toy model: the way is real, the answers mean nothing.", ""]
    export = shlex.join(
        ["sft-tui", "convert-weight", "--reversed", "--model", profile.model.family, "--input_path", summary.checkpoint,
         "--config_path", profile.model.hf_dir, "--output_path", f"{paths.run_dir}/hf"]
    )  # fmt: skip
    if not summary.exported:
        lines += ["To serve it elsewhere, as a Hugging Face folder:", export, ""]
    asks = _asking(session, profile, summary.checkpoint)
    if asks:
        written = "YOUR TEXT is written as Dataset (F4), ctrl+g shows a record, up to where the answer begins."
        lines += ["To ask it something, from a folder of yours:", asks, written, ""]
    return [*lines, f"folder  {paths.run_dir}", f"YAML    {paths.config('train')}", f"summary {paths.summary}"]


def _asking(session: Session, profile: Profile, checkpoint: str) -> str:
    """The command that lets the model answer; several workers hold it in slices, which is another matter."""
    facts = session.findings.facts if session.findings else None
    # what models of the direct route are asked with is on NPUs alone
    evaluated = facts is not None and not facts.direct and profile.training.evaluate and facts.eval_records
    if facts is None or not evaluated or is_distributed(profile, "eval"):
        return ""
    cpu = profile.environment.device_target == "CPU"
    config = work_paths(profile).config("evaluate-after")
    runtime = f"{facts.package_dir}/launch/runtime"
    return shlex.join(
        [facts.environment.python, f"{runtime}/runner.py", "--config", config, "--run_mode", "predict",
         "--load_checkpoint", checkpoint, *(("--register_path", f"{runtime}/cpu") if cpu else ()),
         "--predict_data", "YOUR TEXT"]
    )  # fmt: skip
