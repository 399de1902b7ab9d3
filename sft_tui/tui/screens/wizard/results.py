"""Results: the gain, the checkpoint, and how to use it; of the newest finished run, or of another."""

from __future__ import annotations

import shlex
import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from sft_tui.core.profile import Profile
from sft_tui.core.terminal_text import neutralise
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.run_spec import is_distributed
from sft_tui.results.finished_runs import FinishedRun
from sft_tui.results.summary import RunSummary
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.text_block import TextBlock


class ResultsScreen(WizardScreen):
    """What the run brought."""

    STEP = "results"
    ABOUT = "What the newest finished run of this profile brought; left and right show the others."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "show_run(1)", "Earlier run"),
        Binding("left", "show_run(-1)", "Later run"),
    ]

    def compose_content(self) -> ComposeResult:
        yield TextBlock(id="results")

    def draw(self, session: Session) -> None:
        super().draw(session)
        self.query_one("#results", TextBlock).show(Content("\n".join(map(neutralise, _lines(session)))))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only to a run that there is."""
        if action == "show_run":
            place = self.session.run_shown + (1 if parameters == (1,) else -1)
            return self.is_active and 0 <= place < len(self.session.runs)
        return super().check_action(action, parameters)

    def action_show_run(self, by: int) -> None:
        """Show another finished run."""
        self.session.run_shown += by
        self.draw(self.session)
        self.refresh_bindings()


def _lines(session: Session) -> list[str]:
    profile = session.readable
    if profile is None or session.findings is None:
        return ["looking ..." if session.examining else "The profile cannot be read: Review & launch (F7) says why."]
    lines = []
    name = profile.training.run_name
    if not any(_is_current(run, profile) for run in session.runs):
        if session.job_runs:
            lines.append(f"Run {name} has no results yet. Monitor (F8) shows how far it is.")
        else:
            lines.append(f"Run {name} has no results yet. Review & launch (F7) shows what would run; ctrl+r starts it.")
    if not session.runs:
        return lines
    run = session.runs[session.run_shown]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.ended_at))
    which = "the newest finished run" if session.run_shown == 0 else f"finished run {session.run_shown + 1}"
    of = f" of {len(session.runs)}" if len(session.runs) > 1 else ""
    lines += [*([""] if lines else []), f"run {run.name}: {which}{of}, ended {when}", *run.summary.lines(), ""]
    if profile.rehearsal:
        lines += ["This was a rehearsal on a toy model: the way is real, the answers mean nothing.", ""]
    if _is_current(run, profile):
        lines += _uses(session, profile, run.summary)
    else:
        lines += [f"To see the commands that use it, set the run name on Training (F5) to {run.name}.", ""]
    folder = run.summary.run_dir
    lines += [f"folder  {folder}"]
    if _is_current(run, profile):
        lines += [f"YAML    {work_paths(profile).config('train')}"]
    lines += [f"summary {folder}/summary.json"]
    others = [other.name for place, other in enumerate(session.runs) if place != session.run_shown]
    return [*lines, "", f"Other finished runs: {', '.join(others)}"] if others else lines


def _is_current(run: FinishedRun, profile: Profile) -> bool:
    """It is the run that the profile names now."""
    return run.summary.run_dir == work_paths(profile).run_dir


def _uses(session: Session, profile: Profile, summary: RunSummary) -> list[str]:
    """What can be done with the checkpoint of a run."""
    lines = []
    export = shlex.join(
        ["sft-tui", "convert-weight", "--reversed", "--model", profile.model.family, "--input_path", summary.checkpoint,
         "--config_path", profile.model.hf_dir or "HF_DIR", "--output_path", f"{summary.run_dir}/hf"]
    )  # fmt: skip
    if not summary.exported:
        lines += ["To serve it elsewhere, as a Hugging Face folder:", export]
        lines += [] if profile.model.hf_dir else ["HF_DIR is a folder with config.json and tokenizer of this model."]
        lines += [""]
    asks = _asking(session, profile, summary.checkpoint)
    if asks:
        written = "YOUR TEXT is written as Dataset (F4), ctrl+g shows a record, up to where the answer begins."
        lines += ["To ask it something, from a folder of yours:", asks, written, ""]
    return lines


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
