"""Carries what happens outside the UI into it: functions that look at files and processes, and return messages."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from textual.message import Message

from sft_tui.paths import jobs_dir

if TYPE_CHECKING:  # what looks at the machine is imported by the thread that does: the first paint does not wait
    from sft_tui.checks.examine import Findings
    from sft_tui.core.job import Event, JobState, StepState
    from sft_tui.core.plan import Plan
    from sft_tui.core.profile import Profile
    from sft_tui.jobs.resume import ResumePoint
    from sft_tui.logs.tail import LogTail
    from sft_tui.metrics.points import Curve, MetricRow
    from sft_tui.monitor.host import HostLoad
    from sft_tui.results.finished_runs import FinishedRun
    from sft_tui.store.job_store import JobFolder
    from sft_tui.store.profile_merge import FieldChange

LOOK_SECONDS = 0.5  # a log that grows faster floods an SSH line
HOST_SECONDS = 2.0
SUBMIT = "submit"  # the task of submitting a job
FLOOD_LINES = 3  # of a log in one look
CELLS_A_SECOND = 4500  # that may change for ever; with their colours, some 5 bytes each
TAIL_BYTES = 64 * 1024


@dataclass
class ProfileExamined(Message):
    """The machine and the files were looked at for the profile."""

    profile: Profile
    findings: Findings
    current_steps: frozenset[str]
    runs: tuple[FinishedRun, ...]  # finished, the newest first
    resume: ResumePoint | None


@dataclass
class JobFound(Message):
    """The newest job of a profile, at the opening of that profile."""

    profile: str
    folder: JobFolder
    running: bool


@dataclass
class JobSubmitted(Message):
    """A job was written and its supervisor started."""

    profile: str
    folder: JobFolder


@dataclass
class ResumeOffered(Message):
    """A plan that was to be submitted holds a training that was interrupted."""

    plan: Plan
    from_step: str
    point: ResumePoint


@dataclass
class JobUpdated(Message):
    """A job changed, or its log grew."""

    folder: JobFolder
    state: JobState
    events: tuple[Event, ...]
    log_step: str
    log_path: str
    log_lines: tuple[str, ...]
    rows: tuple[MetricRow, ...] = ()

    @property
    def step_ended(self) -> bool:
        """A step has ended, or was skipped."""
        return any(event.kind in ("step_finished", "step_skipped") for event in self.events)


@dataclass
class HostSampled(Message):
    """The host's load was sampled."""

    load: HostLoad


@dataclass
class BackgroundFailed(Message):
    """Work outside the UI failed; the message is for the user. `task` tells who waits for it, if somebody does."""

    message: str
    task: str = ""


@dataclass
class ProfileMerged(Message):
    """The file of the profile was changed elsewhere: what was taken from it, what was changed on both sides, and the
    copy of a file that could not be read.
    """

    profile: str
    taken: tuple[FieldChange, ...]
    clashes: tuple[FieldChange, ...]
    broken: Path | None


@dataclass
class ProfileGone(Message):
    """The file of the profile was deleted elsewhere."""

    profile: str


def submit_or_offer(plan: Plan, from_step: str) -> JobSubmitted | ResumeOffered:
    """Submit the plan; where its training can go on from a checkpoint, that is asked first."""
    from sft_tui.jobs.client import find_offer

    order = [step.id for step in plan.steps]
    point = find_offer(jobs_dir(), plan)
    if point is not None and (not from_step or order.index(from_step) > order.index(point.step_id)):
        return ResumeOffered(plan, from_step, point)
    return submit(plan, from_step)


def submit(plan: Plan, from_step: str) -> JobSubmitted:
    """Submit the plan."""
    from sft_tui.jobs import client

    return JobSubmitted(plan.profile, client.submit(jobs_dir(), plan, from_step=from_step))


def stop(folder: JobFolder, *, at_once: bool) -> None:
    """Stop a job; at once: kill it without waiting."""
    from sft_tui.jobs import client

    client.stop(folder, at_once=at_once)


def look_at(profile: Profile) -> ProfileExamined:
    """Examine the profile, and see which steps need not run again and what the run brought."""
    from sft_tui.checks.examine import examine
    from sft_tui.jobs.client import find_offer
    from sft_tui.jobs.completion import current_steps
    from sft_tui.launch.plan.work_paths import work_paths
    from sft_tui.results.finished_runs import find_runs

    findings = examine(profile)
    runs = find_runs(profile.name, Path(work_paths(profile).work_dir), jobs_dir())
    plan = findings.plan or findings.early_plan
    if plan is None:
        return ProfileExamined(profile, findings, frozenset(), runs, None)
    offer = find_offer(jobs_dir(), plan) if findings.plan is not None else None
    return ProfileExamined(profile, findings, current_steps(plan), runs, offer)


class JobFollower:
    """Looks at one job again and again, and tells what changed; of a flood less often, the larger the screen is."""

    def __init__(self, folder: JobFolder, cells: Callable[[], int] = lambda: 0) -> None:
        """`cells`: how many characters the screen has."""
        from sft_tui.jobs.client import JobWatch

        self._cells, self._rests_until = cells, 0.0

        self.folder = folder
        self._watch = JobWatch(folder)
        self._tail: LogTail | None = None
        self._step = self._path = ""
        self._last: JobState | None = None
        self._behind = False

    def look(self) -> JobUpdated | None:
        """What changed since the last look, or None."""
        if time.monotonic() < self._rests_until:
            return None
        update = self._watch.look()
        shown = update.state.current_step or _last_run(update.state)
        if shown is not None and shown.id != self._step:
            self._turn_to(shown.id)
        lines = self._tail.read_lines() if self._tail is not None else []
        counting = update.state.lifecycle == "stopping"  # its countdown goes on without news
        self._behind = update.behind
        news = update.events or update.rows or lines
        if update.state == self._last and not news and not counting:
            return None
        self._last = update.state
        if len(lines) >= FLOOD_LINES and not update.behind and not update.state.finished:
            self._rests_until = time.monotonic() + self._cells() / CELLS_A_SECOND
        return JobUpdated(self.folder, update.state, update.events, self._step, self._path, tuple(lines), update.rows)

    def _turn_to(self, step_id: str) -> None:
        from sft_tui.logs.tail import LogTail

        planned = self.folder.load_spec().plan.step(step_id)
        path = Path(planned.training_log) if planned.training_log else self.folder.step_log(step_id)
        self._step, self._path = step_id, str(path)
        self._tail = LogTail(path, from_end=TAIL_BYTES)

    @property
    def finished(self) -> bool:
        """The job has ended and everything was told."""
        return self._last is not None and self._last.finished and not self._behind


def _last_run(state: JobState) -> StepState | None:
    ran = [s for s in state.steps if s.started_at is not None and s.status != "skipped"]
    return max(ran, key=lambda s: s.started_at or 0.0, default=None)


JOBS_TO_COMPARE = 50  # the newest


def comparable_jobs(besides: str) -> list[str]:
    """Ids of jobs that have measured a training, the newest first."""
    from sft_tui.store.job_store import list_jobs

    others = (folder for folder in reversed(list_jobs(jobs_dir())) if folder.id != besides)
    return [folder.id for folder in others if has_curve(folder)][:JOBS_TO_COMPARE]


def has_curve(folder: JobFolder) -> bool:
    """It keeps metrics, or, if it is an older job, steps of training among its events."""
    from sft_tui.logs.scan import open_log

    if folder.metrics.is_file():
        return True
    with contextlib.suppress(OSError), open_log(folder.events) as events:
        return events is not None and b'"training_step"' in os.pread(events, 1 << 18, 0)
    return False


def load_curve(job: str) -> Curve:
    """The whole curve of a job as it is now. Raises SftError, OSError."""
    from sft_tui.jobs.client import JobWatch
    from sft_tui.metrics.points import Curve
    from sft_tui.store.job_store import find_job

    watch, curve = JobWatch(find_job(jobs_dir(), job, exactly=True)), Curve()
    while True:
        update = watch.look()
        for row in update.rows:
            curve.add(row)
        if not update.behind:
            return curve


def sample(disk_path: str) -> HostSampled:
    """One look at the host."""
    from sft_tui.monitor.host import sample_host

    there = Path(disk_path if disk_path.startswith("/") else "/")
    while not there.exists():
        there = there.parent
    return HostSampled(sample_host(str(there)))
