"""What the wizard knows: the draft of the profile, what was found, and the job. Screens are drawn from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from sft_tui.core.job import Event, JobState
from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.core.profile import SECTIONS, Profile, validate_profile
from sft_tui.monitor.host import HostLoad
from sft_tui.preflight import Findings
from sft_tui.store.job_store import JobFolder

RailMark = Literal["todo", "current", "problem", "running", "done"]


@dataclass(frozen=True)
class WizardStep:
    """One screen of the wizard: its key, the profile section it edits, the plan steps it stands for."""

    id: str
    key: str
    title: str
    section: str = ""
    plan_steps: tuple[str, ...] = ()


WIZARD_STEPS: tuple[WizardStep, ...] = (
    WizardStep("environment", "f1", "Environment", "environment"),
    WizardStep("model", "f2", "Model", "model", ("inspect",)),
    WizardStep("weights", "f3", "Weights", "weights", ("convert-weight",)),
    WizardStep(
        "dataset", "f4", "Dataset", "dataset",
        ("convert-alpaca", "convert-alpaca-eval", "preprocess-train", "preprocess-eval"),
    ),
    WizardStep("training", "f5", "Training", "training", ("train",)),
    WizardStep("nodes", "f6", "Nodes", "nodes"),
    WizardStep("review", "f7", "Review & launch"),
    WizardStep("monitor", "f8", "Monitor"),
    WizardStep("results", "f9", "Results", "", ("evaluate-before", "evaluate-after", "summary")),
)  # fmt: skip


def wizard_step(step_id: str) -> WizardStep:
    """The wizard step of that id. Raises KeyError."""
    return {step.id: step for step in WIZARD_STEPS}[step_id]


@dataclass
class Session:
    """The state behind all screens; only the app changes it."""

    name: str
    data: dict[str, Any]
    profile: Optional[Profile] = None
    problems: list[Problem] = field(default_factory=list)  # of the typed values
    findings: Optional[Findings] = None  # None: not looked yet, or changed since
    examining: bool = False
    current_steps: frozenset[str] = frozenset()  # plan steps that need not run again
    job: Optional[JobFolder] = None
    job_state: Optional[JobState] = None
    events: list[Event] = field(default_factory=list)
    host: Optional[HostLoad] = None

    def validate(self) -> None:
        """Look at the typed values again; what was found on the machine is out of date then."""
        self.profile, self.problems = validate_profile(self.data)
        self.findings = None

    @property
    def all_problems(self) -> list[Problem]:
        """What was found on the machine, which tells of the typed values as well; before that those alone."""
        return list(self.findings.problems) if self.findings else self.problems

    @property
    def plan(self) -> Optional[Plan]:
        """The plan, once nothing stands in its way."""
        return self.findings.plan if self.findings else None

    @property
    def rehearsal(self) -> bool:
        """The profile is that of `sft-tui demo`."""
        return self.data.get("rehearsal") is True

    @property
    def job_runs(self) -> bool:
        """A job of this profile has not ended."""
        return self.job_state is not None and not self.job_state.finished

    def problem_of(self, field_name: str) -> Optional[Problem]:
        """The first problem of a field, errors before warnings."""
        matching = [p for p in self.all_problems if p.field == field_name]
        return min(matching, key=lambda p: p.severity != "error", default=None)

    def mark(self, step: WizardStep, current: str) -> RailMark:
        """What the rail shows beside a step."""
        running = self.job_state.current_step if self.job_runs and self.job_state else None
        if (running and running.id in step.plan_steps) or (step.id == "monitor" and self.job_runs):
            return "running"
        if step.section and any(
            p.field.startswith(step.section + ".") and p.severity == "error" for p in self.all_problems
        ):
            return "problem"
        if step.id == "review" and any(p.severity == "error" for p in self.all_problems):
            return "problem"
        if step.id == "monitor" and self.job_state and self.job_state.outcome in ("failed", "lost"):
            return "problem"
        if step.id == current:
            return "current"
        return "done" if self._done(step) else "todo"

    def _done(self, step: WizardStep) -> bool:
        if step.id in ("review", "monitor"):
            return self.job_state is not None and self.job_state.outcome == "succeeded"
        if step.plan_steps and step.id != "model":
            return self._finished(step.plan_steps)
        return step.section in SECTIONS and self.findings is not None

    def _finished(self, ids: tuple[str, ...]) -> bool:
        plan = self.plan
        if plan is None:
            return False
        mine = [s for s in plan.steps if s.id in ids and not s.not_needed]
        ended = {s.id for s in self.job_state.steps if s.status in ("done", "skipped")} if self.job_state else set()
        checked = [s for s in mine if s.outputs and s.id != "summary"]
        return bool(mine) and all(s.id in self.current_steps or (self.job_runs and s.id in ended) for s in checked)
