"""Submits, watches and stops jobs for the UI and the command line. Once submitted, its folder is only read."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Union

from sft_tui.core.job import Event, JobState, PartOf, ProcessIdentity
from sft_tui.core.plan import STOP_GRACE_SECONDS, Plan
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.whole_file import remove_stale
from sft_tui.jobs import process
from sft_tui.jobs.leftovers import end_left_running, left_running, look_again, marked
from sft_tui.jobs.queue import gate, open_private
from sft_tui.jobs.read_state import is_supervised, read_state
from sft_tui.jobs.requests import KILL_NOW, STOP
from sft_tui.jobs.resume import ResumePoint, find_resume_point
from sft_tui.jobs.supervisor_process import find_supervisor
from sft_tui.metrics.points import MetricPoint, MetricRow
from sft_tui.metrics.store import read_metrics
from sft_tui.metrics.time_left import point_of_event
from sft_tui.store.job_store import JobFolder, create_job, find_job, find_parts, list_jobs

WATCH_SECONDS = 0.25
DYING_SECONDS = 2.0
DEAF_SECONDS = 0.2  # until a process that was killed is gone, on a busy host


@dataclass(frozen=True)
class JobUpdate:
    """The state of a job, what happened and what was measured since the last look; `behind`: there is more already."""

    state: JobState
    events: tuple[Event, ...]
    rows: tuple[MetricRow, ...] = ()
    behind: bool = False

    def in_order(self) -> Iterator[Union[Event, MetricRow]]:
        """Events and rows by their time; each of both in its own order, even if the clock was set meanwhile."""
        rows = deque(self.rows)
        for event in self.events:
            while rows and rows[0].at <= event.time:
                yield rows.popleft()
            yield event
        yield from rows


def submit(
    jobs_dir: Path,
    plan: Plan,
    *,
    from_step: str = "",
    until_step: str = "",
    after: tuple[str, ...] = (),
    into: bool = False,
    stop_grace_seconds: Optional[float] = None,
) -> JobFolder:
    """Write the job and start its supervisor; returns once it runs by itself.

    `after` names jobs that have to succeed first; where other jobs use the same devices it waits for them anyway.
    `into`: the folder of a run with other settings may be written over; it is looked at again when it is entered.
    Raises InvalidInputError for an unknown step or job, or a profile of which something runs already; OSError.
    """
    _check_steps(plan, from_step, until_step)
    # behind the gate, so that two `run`s of one profile cannot both find it idle
    with gate(jobs_dir):
        after = tuple(find_job(jobs_dir, wanted).id for wanted in after)
        _refuse_if_busy(jobs_dir, plan, after)
        folder, state = create_job(
            jobs_dir, plan, from_step=from_step, until_step=until_step, after=after, into=into,
            stop_grace_seconds=plan.stop_grace_seconds if stop_grace_seconds is None else stop_grace_seconds,
        )  # fmt: skip
        _start(folder, state, plan)
    return folder


def submit_part(jobs_dir: Path, plan: Plan, part_of: PartOf) -> tuple[JobFolder, bool]:
    """The same for this node's part of a job that the head leads; asked again, the one that was made.

    Also says whether it was made now. Raises InvalidInputError where something else works in the same folder; OSError.
    """
    with gate(jobs_dir):
        for folder in find_parts(jobs_dir, part_of, plan):
            return folder, False
        _refuse_if_busy(jobs_dir, plan, (), part_of)
        folder, state = create_job(
            jobs_dir, plan, from_step=plan.steps[0].id, stop_grace_seconds=plan.stop_grace_seconds, part_of=part_of
        )
        _start(folder, state, plan)
    return folder, True


def _start(folder: JobFolder, state: JobState, plan: Plan) -> None:
    with open_private(folder.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # only now can the job be seen: without a lock that is held it would read as lost
        folder.save_state(state)
        # the supervisor inherits the locked descriptor; ours closes, the lock stays with it
        process.start_supervisor(folder.path, lock.fileno(), plan.secrets())


def _check_steps(plan: Plan, from_step: str, until_step: str) -> None:
    known = [step.id for step in plan.steps]
    for wanted in (from_step, until_step):
        if wanted and wanted not in known:
            raise InvalidInputError(f"There is no step {wanted!r}.", f"The steps are {', '.join(known)}.")
    if from_step and until_step and known.index(until_step) < known.index(from_step):
        raise InvalidInputError(f"Step {until_step} comes before step {from_step}: nothing would be done.")


def _refuse_if_busy(jobs_dir: Path, plan: Plan, after: tuple[str, ...], part_of: Optional[PartOf] = None) -> None:
    """One job of a profile at a time, and never two that write the same files; but one may be told to come after."""
    folders = {step.cwd for step in plan.steps}
    before_us = _all_before(jobs_dir, after)
    look_again()
    remove_stale(jobs_dir)
    for folder in reversed(list_jobs(jobs_dir, settled=True)):
        try:
            state = folder.load_state()
            if state.finished:
                continue
            lives = not read_state(folder).finished
            left = [] if lives else left_running(folder, state)
            spec = folder.load_spec()
            shared = folders & {step.cwd for step in spec.plan.steps}
        except SftError as error:
            _refuse_if_damaged_lives(folder, folders, error)
            continue
        if not lives:
            _remove_partial_files(folder)
        if (lives and folder.id in before_us) or spec.whole == part_of:
            continue
        if lives and state.profile == plan.profile:
            queued = bool(state.waits_for) or state.held  # one that is starting waits for nobody
            raise InvalidInputError(
                f"Profile {plan.profile} {'is queued' if queued else 'runs'} already as job {folder.id}.",
                f"sft-tui jobs attach {folder.id} shows it; sft-tui jobs stop {folder.id} "
                + ("takes it out of the queue." if queued else f"ends it; --after {folder.id} waits for its success."),
            )
        if left and (state.profile == plan.profile or shared):
            raise InvalidInputError(
                f"Of the lost job {folder.id} of profile {state.profile}, process {left[0].pid} still runs.",
                f"sft-tui jobs stop {folder.id} ends it; or wait for its end.",
            )
        if lives and shared:
            raise InvalidInputError(
                f"Job {folder.id} of profile {state.profile} works in {min(shared)} too.",
                f"Wait for its end (--after {folder.id}), or give this profile another working folder"
                " (environment.work_dir).",
            )


def _remove_partial_files(folder: JobFolder) -> None:
    """What the supervisor of a lost job was about to write when it was killed; nobody else writes there."""
    for place in (folder.path, folder.path / "exits"):
        remove_stale(place, seconds=0.0)


def _refuse_if_damaged_lives(folder: JobFolder, folders: set[str], error: SftError) -> None:
    """The lock says that a job lives, not its files; where nothing tells what it works in, it may be the same."""
    if not is_supervised(folder) and not marked(folder.path):
        return
    with contextlib.suppress(SftError):
        if folders.isdisjoint({step.cwd for step in folder.load_spec().plan.steps}):
            return
    raise InvalidInputError(
        f"Job {folder.id} runs, but its record is damaged: {error.message}", f"sft-tui jobs stop {folder.id} ends it."
    )


def _all_before(jobs_dir: Path, after: tuple[str, ...]) -> set[str]:
    """Jobs that have ended before a job with these predecessors starts: they, and those before them."""
    found: set[str] = set()
    todo = list(after)
    while todo:
        job = todo.pop()
        if job not in found:
            found.add(job)
            with contextlib.suppress(SftError):
                todo += JobFolder(jobs_dir / job).load_spec().after
    return found


def _states(jobs_dir: Path, profile: str) -> Iterator[tuple[JobFolder, JobState]]:
    """Jobs of the profile with the states that their files tell, newest first; damaged ones are left out."""
    for folder in reversed(list_jobs(jobs_dir)):
        try:
            state = folder.load_state()
        except SftError:
            continue
        if state.profile == profile:
            yield folder, state


def running_job(jobs_dir: Path, profile: str) -> JobFolder | None:
    """The job of that profile that has not ended, if there is one."""
    for folder, state in _states(jobs_dir, profile):
        if not state.finished and not read_state(folder).finished:
            return folder
    return None


def find_offer(jobs_dir: Path, plan: Plan) -> Optional[ResumePoint]:
    """Where the plan's training can go on, if it was interrupted and no job of its profile lives."""
    return None if running_job(jobs_dir, plan.profile) else find_resume_point(plan)


class JobWatch:
    """Follows one job; the same from its start, in the middle, and long after its end."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self._offset = self._measured = 0

    def look(self) -> JobUpdate:
        """The state now, and events and metrics since the last look (at the first: all, but no flood)."""
        # state first: an event that follows it comes with the next look, none is missed at the end
        state = read_state(self.folder)
        events, self._offset, unread = self.folder.read_some_events(self._offset)
        rows, self._measured, behind = read_metrics(self.folder.metrics, self._measured)
        older = [point for event in events if (point := _older_point(event)) is not None]
        steps = {"", *(step.id for step in state.steps)}  # an event of another one cannot be told
        told = tuple(e for e in events if e.kind != "training_step" and e.step in steps and e.is_sound)
        return JobUpdate(state, told, (*older, *rows), behind or unread)


def _older_point(event: Event) -> Optional[MetricPoint]:
    """Jobs made before metrics.jsonl have their points among the events."""
    if event.kind != "training_step":
        return None
    return point_of_event(event.data, at=event.time, step_id=event.step)


def watch(folder: JobFolder) -> Iterator[JobUpdate]:
    """Updates until the job has ended."""
    following = JobWatch(folder)
    while True:
        update = following.look()
        yield update
        if update.behind:
            continue
        if update.state.finished:
            return
        time.sleep(WATCH_SECONDS)


def wait(folder: JobFolder) -> JobState:
    """Block until the job has ended; its last state."""
    while not (state := read_state(folder)).finished:
        time.sleep(WATCH_SECONDS)
    return state


def stop(folder: JobFolder, *, at_once: bool = False) -> bool:
    """Ask the job to stop; whether there was something to stop.

    Returns at once, for the supervisor does it in stages; `at_once` kills without waiting. Of a lost job this ends what
    is left, in the same stages. Raises SftError if the supervisor lives where it cannot be reached.
    """
    try:
        finished = folder.load_state().finished
    except SftError:
        return _stop_damaged(folder, at_once=at_once)
    if finished:
        return False
    if is_supervised(folder):
        supervisor = _supervisor(folder)
        if process.signal_process(supervisor, KILL_NOW if at_once else STOP):
            process.signal_process(supervisor, signal.SIGCONT)  # one that somebody halted would never hear it
            if not _died_deaf(folder, supervisor):
                return True
        elif not _is_dying(folder):
            raise _unreachable(folder)
    _remove_partial_files(folder)
    state = folder.load_state()
    return not state.finished and end_left_running(folder, state, 0.0 if at_once else _grace(folder))


def _grace(folder: JobFolder) -> float:
    try:
        return folder.load_spec().stop_grace_seconds
    except SftError:
        return STOP_GRACE_SECONDS


def _stop_damaged(folder: JobFolder, *, at_once: bool) -> bool:
    """The record does not tell what to stop: the supervisor is known by its command line, the rest by its mark."""
    if is_supervised(folder):
        supervisor = find_supervisor(folder)
        if not process.signal_process(supervisor, KILL_NOW if at_once else STOP) and not _is_dying(folder):
            raise _unreachable(folder)
        process.signal_process(supervisor, signal.SIGCONT)
        return True
    return end_left_running(folder, None, 0.0 if at_once else _grace(folder))


def _unreachable(folder: JobFolder) -> SftError:
    return SftError(
        f"The supervisor of job {folder.id} cannot be reached from here.",
        "It may run on another host or in another container that shares this folder: stop the job there.",
    )


def _died_deaf(folder: JobFolder, supervisor: ProcessIdentity | None) -> bool:
    """It was killed a moment before it was asked to stop: then it is gone a moment later, and its job has no end."""
    deadline = time.monotonic() + DEAF_SECONDS
    while process.is_alive(supervisor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return not folder.load_state().finished


def _is_dying(folder: JobFolder) -> bool:
    """A supervisor that was killed a moment ago may hold its lock until the kernel is done with it."""
    deadline = time.monotonic() + DYING_SECONDS
    while is_supervised(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _supervisor(folder: JobFolder) -> ProcessIdentity | None:
    """The supervisor's identity; one that was started a moment ago has not written it yet."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        identity = folder.load_state().supervisor
        if identity is not None or not is_supervised(folder):
            return identity
        time.sleep(0.05)
    raise SftError(f"Job {folder.id} does not start.", f"See {folder.supervisor_log}.")
