"""Carries what happens outside the UI into it: threads look at files and processes, and post messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from sft_tui.core.job import Event, JobState, StepState
from sft_tui.core.profile import Profile
from sft_tui.jobs.client import JobWatch
from sft_tui.jobs.completion import find_record
from sft_tui.jobs.log_tail import LogTail
from sft_tui.monitor.host import HostLoad, sample_host
from sft_tui.preflight import Findings, examine
from sft_tui.store.job_store import JobFolder

LOOK_SECONDS = 0.5  # a log that grows faster floods an SSH line
HOST_SECONDS = 2.0
TAIL_BYTES = 64 * 1024


@dataclass
class ProfileExamined(Message):
    """The machine and the files were looked at for the profile."""

    profile: Profile
    findings: Findings
    current_steps: frozenset[str]


@dataclass
class JobUpdated(Message):
    """A job changed, or its log grew."""

    folder: JobFolder
    state: JobState
    events: tuple[Event, ...]
    log_step: str
    log_lines: tuple[str, ...]


@dataclass
class HostSampled(Message):
    """The host's load was sampled."""

    load: HostLoad


@dataclass
class BackgroundFailed(Message):
    """Work outside the UI raised an error; the message is for the user."""

    message: str


def look_at(profile: Profile) -> ProfileExamined:
    """Examine the profile and see which steps need not run again."""
    findings = examine(profile)
    current: frozenset[str] = frozenset()
    if findings.plan is not None:
        steps = findings.plan.steps
        current = frozenset(s.id for s in steps if find_record(Path(s.cwd) / ".sft-tui", s) is not None)
    return ProfileExamined(profile, findings, current)


class JobFollower:
    """Looks at one job again and again; what it sees is handed to `post`."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self._watch = JobWatch(folder)
        self._tail: LogTail | None = None
        self._step = ""
        self._last: JobState | None = None

    def look(self) -> JobUpdated | None:
        """What changed since the last look, or None."""
        update = self._watch.look()
        shown = update.state.current_step or _last_run(update.state)
        lines: list[str] = []
        if shown is not None and shown.id != self._step:
            self._step = shown.id
            spec_step = self.folder.load_spec().plan.step(shown.id)
            path = Path(spec_step.training_log) if spec_step.training_log else self.folder.step_log(shown.id)
            self._tail = LogTail(path, from_end=TAIL_BYTES)
        if self._tail is not None:
            lines = self._tail.read_lines()
        if update.state == self._last and not update.events and not lines:
            return None
        self._last = update.state
        return JobUpdated(self.folder, update.state, update.events, self._step, tuple(lines))

    @property
    def finished(self) -> bool:
        """The job has ended and everything was told."""
        return self._last is not None and self._last.finished


def _last_run(state: JobState) -> StepState | None:
    ran = [s for s in state.steps if s.started_at is not None and s.status != "skipped"]
    return max(ran, key=lambda s: s.started_at or 0.0, default=None)


def sample(disk_path: str) -> HostSampled:
    """One look at the host."""
    there = Path(disk_path if disk_path.startswith("/") else "/")
    while not there.exists():
        there = there.parent
    return HostSampled(sample_host(str(there)))
