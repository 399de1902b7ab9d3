"""A job: a submitted plan, where it stands, and how it ended. Lifecycle and outcome are two things."""

from __future__ import annotations

import math
from typing import Annotated, Any, Callable, Final, Literal, Mapping, Optional

from pydantic import BaseModel, ConfigDict, Field

from sft_tui.core.plan import STOP_GRACE_SECONDS, Plan

JOB_SCHEMA_VERSION: Final = 1

Lifecycle = Literal["queued", "running", "stopping", "finished"]
Outcome = Literal["succeeded", "failed", "stopped", "lost"]
StepStatus = Literal["todo", "running", "done", "skipped", "not_needed", "failed", "stopped"]
EventKind = Literal[
    "job_waits", "job_started", "step_started", "step_finished", "step_skipped", "training_step", "perplexity",
    "progress", "node_news", "watch_out", "stop_asked", "kill_sent", "stop_checked", "diagnosis", "job_finished",
]  # fmt: skip

# what a file says is believed within bounds: one absurd value makes that file a damaged one, and nothing else
Time = Annotated[float, Field(ge=0, le=32_503_680_000, allow_inf_nan=False)]  # since the epoch, to the year 3000
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, le=10**15)]
Pid = Annotated[int, Field(gt=0, le=2**31 - 1)]
ExitCode = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]

EXIT_CODES: dict[Outcome, int] = {"succeeded": 0, "failed": 1, "stopped": 3, "lost": 1}


class _Data(BaseModel):
    # a state file of a later version may know more
    # a loss may be NaN or infinite: that must not turn into null
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore", ser_json_inf_nan="constants")


class ProcessIdentity(_Data):
    """Tells a process from a later one that got the same pid."""

    pid: Pid
    start_ticks: Whole
    boot_id: str


class PartOf(_Data):
    """The job, on the head, of which this one does a part. A time makes it one of a kind."""

    id: str
    submitted_at: Time


class JobSpec(_Data):
    """What was asked for; written once, at submission."""

    schema_version: Literal[1] = JOB_SCHEMA_VERSION
    id: str
    plan: Plan
    from_step: str = ""
    until_step: str = ""
    after: tuple[str, ...] = ()  # ids of jobs that must succeed first
    stop_grace_seconds: Seconds = STOP_GRACE_SECONDS  # between asking a step to end and killing it
    into: bool = False  # the folder of a run with other settings may be written over
    submitted_at: Time
    part_of: Optional[PartOf] = None

    @property
    def whole(self) -> PartOf:
        """The same for a job and for its parts, which do not stand in each other's way."""
        return self.part_of or PartOf(id=self.id, submitted_at=self.submitted_at)

    @property
    def wanted_steps(self) -> frozenset[str]:
        """Ids of the steps that the job is to do."""
        ids = [step.id for step in self.plan.steps if not step.not_needed]
        end = ids.index(self.until_step) + 1 if self.until_step in ids else len(ids)
        return frozenset(ids[:end])


class StepState(_Data):
    """Where one step stands. Times are seconds since the epoch."""

    id: str
    title: str
    status: StepStatus = "todo"
    started_at: Optional[Time] = None
    ended_at: Optional[Time] = None
    exit_code: Optional[ExitCode] = None
    reason: str = ""
    process: Optional[ProcessIdentity] = None


class JobState(_Data):
    """Where the job stands; replaced as a whole by its supervisor."""

    schema_version: Literal[1] = JOB_SCHEMA_VERSION
    id: str
    profile: str
    rehearsal: bool = False
    lifecycle: Lifecycle = "queued"
    outcome: Optional[Outcome] = None
    reason: str = ""
    hint: str = ""
    submitted_at: Time
    started_at: Optional[Time] = None
    ended_at: Optional[Time] = None
    supervisor: Optional[ProcessIdentity] = None
    waits_for: tuple[str, ...] = ()  # ids of jobs, while queued
    refused: bool = False  # when its turn came it was not to be done as it was planned
    held: bool = False  # queued behind a job that did not succeed
    stop_by: Optional[Time] = None  # while stopping: when what still runs will be killed
    notes: tuple[str, ...] = ()  # what else a person should know: what was left after a stop, what a full disk cost
    steps: tuple[StepState, ...]

    @property
    def finished(self) -> bool:
        """Nothing of the job is running or waiting."""
        return self.lifecycle == "finished"

    @property
    def exit_code(self) -> int:
        """Of the command that waited for its end."""
        return 2 if self.refused else EXIT_CODES[self.outcome] if self.outcome else 1

    @property
    def current_step(self) -> Optional[StepState]:
        """The step that runs now, else the last one that ended badly."""
        for status in ("running", "failed", "stopped"):
            for step in self.steps:
                if step.status == status:
                    return step
        return None

    def step(self, step_id: str) -> StepState:
        """The step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def with_step(self, step_id: str, **changes: Any) -> JobState:  # noqa: ANN401 - fields of StepState
        """A copy in which one step is changed."""
        steps = tuple(s.model_copy(update=changes) if s.id == step_id else s for s in self.steps)
        return self.model_copy(update={"steps": steps})

    @property
    def outcome_text(self) -> str:
        """How it ended, and why, after "the job"."""
        verb = {"failed": "has failed", "stopped": "was stopped", "lost": "is lost"}.get(
            self.outcome or "", "has ended"
        )
        return verb if not self.reason or self.outcome == "stopped" else f"{verb}: {self.reason}"

    def countdown(self, now: float) -> str:
        """While it is being stopped: how long until what still runs is killed; else an empty string."""
        if self.lifecycle != "stopping" or self.stop_by is None:
            return ""
        left = math.ceil(self.stop_by - now)
        return f"what still runs is killed in {left} s" if left > 0 else "killing what still runs"

    def headline(self) -> str:
        """One line: lifecycle or outcome, and why."""
        word = self.outcome if self.finished and self.outcome else self.lifecycle
        if self.reason.startswith(str(word)):  # stopped on request
            return self.reason
        return f"{word}: {self.reason}" if self.reason else str(word)


class StepExit(_Data):
    """How a step ended; written once, when it has. `seconds` goes by a clock that nobody sets."""

    schema_version: Literal[1] = JOB_SCHEMA_VERSION
    job: str
    step: str
    status: StepStatus
    exit_code: Optional[ExitCode] = None
    signal: str = ""
    reason: str = ""
    started_at: Time
    ended_at: Time
    seconds: Seconds
    cpu_seconds: Seconds
    left_running: tuple[Pid, ...] = ()  # processes that not even SIGKILL ended


class Event(_Data):
    """Something that happened; one line of events.jsonl. `data` depends on the kind."""

    schema_version: Literal[1] = JOB_SCHEMA_VERSION
    kind: EventKind
    time: Time
    step: str = ""
    data: dict[str, Any] = {}

    @property
    def is_sound(self) -> bool:
        """Its data is what readers of its kind rely on."""
        return all(fits(self.data.get(name)) for name, fits in _EVENT_DATA.get(self.kind, {}).items())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_whole(value: object) -> bool:
    return type(value) is int and abs(value) <= 10**15


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 10**18


_EVENT_DATA: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "job_waits": {"reason": _is_text},
    "step_finished": {"status": _is_text},
    "perplexity": {"loss": _is_number, "perplexity": _is_number},
    "progress": {"done": _is_count, "total": _is_count, "unit": _is_text},
    "node_news": {"text": _is_text},
    "stop_asked": {"grace_seconds": _is_number},
    "kill_sent": {"processes": _is_whole},
    "diagnosis": {
        "category": _is_text, "file": lambda value: value is None or _is_text(value),
        "line": lambda value: value is None or _is_whole(value),
        "rank": lambda value: value is None or _is_whole(value), "sure": lambda value: isinstance(value, bool),
    },
}  # fmt: skip


def initial_state(spec: JobSpec) -> JobState:
    """The state of a job that has not begun."""
    steps = tuple(
        StepState(id=s.id, title=s.title, status="not_needed" if s.not_needed else "todo", reason=s.not_needed)
        for s in spec.plan.steps
    )
    return JobState(
        id=spec.id,
        profile=spec.plan.profile,
        rehearsal=spec.plan.rehearsal,
        submitted_at=spec.submitted_at,
        steps=steps,
    )
