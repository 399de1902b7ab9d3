"""What the wizard knows: the draft of the profile, what was found, and the job. Screens are drawn from it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Optional

from sft_tui.core.problem import Problem
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.store.profile_merge import ABSENT
from sft_tui.tui.text.plot_text import PlotChoice
from sft_tui.tui.undo import UndoList

if TYPE_CHECKING:  # the first paint waits for none of these
    from sft_tui.checks.examine import Findings
    from sft_tui.core.plan import Plan
    from sft_tui.core.profile import Profile
    from sft_tui.jobs.resume import ResumePoint
    from sft_tui.metrics.points import Curve
    from sft_tui.monitor.host import HostLoad
    from sft_tui.results.finished_runs import FinishedRun
    from sft_tui.tui.job_view import JobView

RailMark = Literal["todo", "problem", "running", "done"]


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
    WizardStep("results", "f9", "Results", "", ("evaluate-before", "evaluate-after", "export", "summary")),
)  # fmt: skip


def wizard_step(step_id: str) -> WizardStep:
    """The wizard step of that id. Raises KeyError."""
    return {step.id: step for step in WIZARD_STEPS}[step_id]


@dataclass
class Session:
    """The state behind all screens; only the app changes it, and Monitor what it draws of the job."""

    name: str
    data: dict[str, Any]
    on_disk: bool = False  # its file was there when it was opened
    gone: bool = False  # it was deleted elsewhere since
    undo: UndoList = field(default_factory=UndoList)
    profile: Optional[Profile] = None  # None: a field cannot be read
    readable: Optional[Profile] = None  # without the fields that cannot be read: enough to look at all the rest
    problems: list[Problem] = field(default_factory=list)  # of the typed values
    findings: Optional[Findings] = None  # None: not looked yet
    edited: set[str] = field(default_factory=set)  # fields changed since that look
    examining: bool = False
    current_steps: frozenset[str] = frozenset()  # plan steps that need not run again
    runs: tuple[FinishedRun, ...] = ()  # finished ones of this profile, the newest first
    run_shown: int = 0  # which of them
    resume: Optional[ResumePoint] = None  # where an interrupted training can go on
    job: Optional[JobView] = None
    host: Optional[HostLoad] = None
    plot: PlotChoice = field(default_factory=PlotChoice)
    compared: Optional[Curve] = None  # of another job, beside this one's
    monitor_shows: Literal["both", "plot", "log"] = "both"

    def validate(self) -> None:
        """Look at the typed values again."""
        from sft_tui.core.profile_problems import validate_profile

        self.profile, self.problems = validate_profile(self.data)
        self.readable = self.profile or self._leave_out_unreadable()

    def _leave_out_unreadable(self) -> Optional[Profile]:
        from sft_tui.core.profile_problems import validate_profile

        data = deepcopy(self.data)
        for problem in self.problems:
            section, _, name = problem.field.partition(".")
            if name and isinstance(data.get(section), dict):
                data[section].pop(name, None)
            elif section != "name":
                data.pop(section, None)
        return validate_profile(data)[0]

    def edit(self, section: str, name: str, value: object) -> None:
        """Take over a typed value; what was found for other fields stays until the next look."""
        from sft_tui.core.nodes import keep_details

        fields = self.data.setdefault(section, {})
        self.undo.note(section, name, fields.get(name))
        fields[name] = keep_details(value, fields.get(name)) if (section, name) == ("nodes", "hosts") else value
        self._changed(section, name)

    def put(self, section: str, name: str, value: object) -> None:
        """A value as it is: of an earlier edit, or of somebody else's."""
        self.data.setdefault(section, {})[name] = value
        self._changed(section, name)

    def put_at(self, place: tuple[str, ...], value: object) -> None:
        """What somebody else wrote, or ABSENT, for a field of a section or a key outside of any."""
        table = self.data
        for key in place[:-1]:
            table = table.setdefault(key, {})
        if value is ABSENT:
            table.pop(place[-1], None)
            if not table and place[0] not in SECTIONS:
                self.data.pop(place[0], None)
        else:
            table[place[-1]] = deepcopy(value)
        self._changed(place[0], ".".join(place[1:]))

    def _changed(self, section: str, name: str) -> None:
        self.edited.add(f"{section}.{name}".strip("."))
        self.validate()

    def take_findings(
        self,
        findings: Findings,
        current_steps: frozenset[str],
        runs: tuple[FinishedRun, ...],
        resume: Optional[ResumePoint],
    ) -> None:
        """Take over what was found for the profile as it is now."""
        self.examining, self.edited = False, set()
        self.findings, self.current_steps, self.resume = findings, current_steps, resume
        if [run.summary for run in runs] != [run.summary for run in self.runs]:
            self.runs, self.run_shown = runs, 0

    @property
    def all_problems(self) -> list[Problem]:
        """Of the typed values, and what was found on the machine for those that were not changed since."""
        typed = {p.field for p in self.problems}
        found = self.findings.problems if self.findings else ()
        return [*self.problems, *(p for p in found if p.field not in typed and p.field not in self.edited)]

    @property
    def errors(self) -> list[Problem]:
        """The problems that forbid a start."""
        return [p for p in self.all_problems if p.severity == "error"]

    @property
    def plan(self) -> Optional[Plan]:
        """The plan of the profile as it is now, once nothing stands in its way."""
        ready = self.profile is not None and not self.edited
        return self.findings.plan if self.findings and ready else None

    @property
    def early_plan(self) -> Optional[Plan]:
        """The plan where nothing but the folder of its run stands in its way: what comes before the run may start."""
        ready = self.profile is not None and not self.edited
        return self.findings.early_plan if self.findings and ready else None

    @property
    def nothing_remains(self) -> bool:
        """Every step that leaves something has left it, from the profile as it is now."""
        steps = [s for s in self.plan.steps if s.outputs and not s.not_needed] if self.plan else []
        return bool(steps) and all(s.id in self.current_steps for s in steps)

    @property
    def rehearsal(self) -> bool:
        """The profile is that of `sft-tui demo`."""
        return self.data.get("rehearsal") is True

    @property
    def job_runs(self) -> bool:
        """A job of this profile has not ended."""
        return self.job is not None and self.job.runs

    def problem_of(self, field_name: str) -> Optional[Problem]:
        """The first problem of a field, errors before warnings."""
        matching = [p for p in self.all_problems if p.field == field_name]
        return min(matching, key=lambda p: p.severity != "error", default=None)

    def mark(self, step: WizardStep) -> RailMark:
        """What the rail shows beside a step: a problem wins over everything but a step that runs."""
        state = self.job.state if self.job else None
        running = state.current_step if state and self.job_runs else None
        if (running and running.id in step.plan_steps) or (step.id == "monitor" and self.job_runs):
            return "running"
        if step.section and any(p.field.startswith(step.section + ".") for p in self.errors):
            return "problem"
        if step.id == "review" and self.errors:
            return "problem"
        if step.id == "monitor" and state and state.outcome in ("failed", "lost"):
            return "problem"
        return "done" if self._done(step) else "todo"

    def _done(self, step: WizardStep) -> bool:
        if step.id in ("review", "monitor"):
            return self.nothing_remains
        if step.plan_steps and step.id != "model":
            return self._left_its_outputs(step.plan_steps)
        return step.section in SECTIONS and self.findings is not None

    def _left_its_outputs(self, ids: tuple[str, ...]) -> bool:
        plan = self.plan or self.early_plan
        if plan is None:
            return False
        state = self.job.state if self.job else None
        ended = {s.id for s in state.steps if s.status in ("done", "skipped")} if state and self.job_runs else set()
        mine = [s for s in plan.steps if s.id in ids and s.outputs and not s.not_needed and s.id != "summary"]
        return bool(mine) and all(s.id in self.current_steps or s.id in ended for s in mine)
