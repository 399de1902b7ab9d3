"""What the UI and the command line do with jobs: submit, watch, stop. Once submitted, its folder is only read."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Iterator

from sft_tui.core.job import STOP_GRACE_SECONDS, Event, JobState, ProcessIdentity
from sft_tui.core.plan import Plan
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs import process
from sft_tui.jobs.leftovers import end_left_running, left_running, look_again
from sft_tui.store.atomic import make_private_dir
from sft_tui.store.job_store import JobFolder, create_job, list_jobs

WATCH_SECONDS = 0.25


@dataclass(frozen=True)
class JobUpdate:
    """The state of a job and what happened since the last look."""

    state: JobState
    events: tuple[Event, ...]


def submit(
    jobs_dir: Path,
    plan: Plan,
    *,
    from_step: str = "",
    until_step: str = "",
    stop_grace_seconds: float = STOP_GRACE_SECONDS,
) -> JobFolder:
    """Write the job and start its supervisor; returns once it runs by itself.

    Raises InvalidInputError for an unknown step, or a profile of which something runs already; OSError.
    """
    _check_steps(plan, from_step, until_step)
    make_private_dir(jobs_dir)
    # one submission at a time, so that two `run`s of one profile cannot both find it idle
    with _open_private(jobs_dir / ".submit") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        _refuse_if_busy(jobs_dir, plan.profile)
        _refuse_shared_folder(jobs_dir, plan)
        folder, state = create_job(
            jobs_dir, plan, from_step=from_step, until_step=until_step, stop_grace_seconds=stop_grace_seconds
        )
        with _open_private(folder.lock) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # only now can the job be seen: without a lock that is held it would read as lost
            folder.save_state(state)
            # the supervisor inherits the locked descriptor; ours closes, the lock stays with it
            process.start_supervisor(folder.path, lock.fileno())
    return folder


def _check_steps(plan: Plan, from_step: str, until_step: str) -> None:
    known = [step.id for step in plan.steps]
    for wanted in (from_step, until_step):
        if wanted and wanted not in known:
            raise InvalidInputError(f"There is no step {wanted!r}.", f"The steps are {', '.join(known)}.")
    if from_step and until_step and known.index(until_step) < known.index(from_step):
        raise InvalidInputError(f"Step {until_step} comes before step {from_step}: nothing would be done.")


def _open_private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")


def _refuse_if_busy(jobs_dir: Path, profile: str) -> None:
    running = running_job(jobs_dir, profile)
    if running is not None:
        raise InvalidInputError(
            f"Profile {profile} runs already as job {running.id}.",
            f"sft-tui jobs attach {running.id} shows it; sft-tui jobs stop {running.id} ends it.",
        )
    look_again()
    for folder, state in _states(jobs_dir, profile):
        left = [] if state.finished else left_running(folder, state)
        if left:
            raise InvalidInputError(
                f"Of the lost job {folder.id} of profile {profile}, process {left[0].pid} still runs.",
                f"sft-tui jobs stop {folder.id} ends it; or wait for its end.",
            )


def _refuse_shared_folder(jobs_dir: Path, plan: Plan) -> None:
    """Two jobs must not write the same files: their steps have the same working folder."""
    folders = {step.cwd for step in plan.steps}
    for folder in list_jobs(jobs_dir):
        try:
            state = read_state(folder)
            shared = folders & {step.cwd for step in folder.load_spec().plan.steps} if not state.finished else set()
        except SftError:
            continue
        if shared:
            raise InvalidInputError(
                f"Job {folder.id} of profile {state.profile} works in {min(shared)} too.",
                "Wait for its end, or give this profile another working folder (environment.work_dir).",
            )


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


def read_state(folder: JobFolder) -> JobState:
    """The true state: a job whose supervisor is gone reads as lost. Raises SftError."""
    state = folder.load_state()
    if state.finished or _is_supervised(folder):
        return state
    state = folder.load_state()  # it may have ended between the two looks
    return state if state.finished else _lost(folder, state)


def _is_supervised(folder: JobFolder) -> bool:
    """Somebody holds the job's lock."""
    try:
        with folder.lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lost(folder: JobFolder, state: JobState) -> JobState:
    step = next((s for s in state.steps if s.status == "running"), None)
    hint = f"sft-tui run {state.profile} goes on after the last finished step."
    if state.supervisor is not None and state.supervisor.boot_id != process.boot_id():
        reason = f"machine restarted at {_boot_time()}"
    else:
        reason = f"its supervisor is gone; see {folder.supervisor_log}"
        left = left_running(folder, state)
        if step is not None and left:
            reason += f"; step {step.id} still runs as process {left[0].pid}"
            hint = f"sft-tui jobs stop {folder.id} ends it. {hint}"
    changed = state.model_copy(update={"lifecycle": "finished", "outcome": "lost", "reason": reason, "hint": hint})
    return changed.with_step(step.id, status="failed", reason="lost") if step else changed


def _boot_time() -> str:
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return datetime.fromtimestamp(time.time() - uptime).strftime("%Y-%m-%d %H:%M")


class JobWatch:
    """Follows one job; the same from its start, in the middle, and long after its end."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self._offset = 0

    def look(self) -> JobUpdate:
        """The state now, and the events since the last look (at the first: all)."""
        # state first: an event that follows it comes with the next look, none is missed at the end
        state = read_state(self.folder)
        events, self._offset = self.folder.read_events(self._offset)
        return JobUpdate(state, tuple(events))


def watch(folder: JobFolder) -> Iterator[JobUpdate]:
    """Updates until the job has ended."""
    following = JobWatch(folder)
    while True:
        update = following.look()
        yield update
        if update.state.finished:
            return
        time.sleep(WATCH_SECONDS)


def wait(folder: JobFolder) -> JobState:
    """Block until the job has ended; its last state."""
    while not (state := read_state(folder)).finished:
        time.sleep(WATCH_SECONDS)
    return state


def stop(folder: JobFolder) -> bool:
    """Ask the job to stop; whether there was something to stop.

    Returns at once, for the supervisor does it in stages; of a lost job this ends what is left, in the same stages.
    """
    state = folder.load_state()
    if state.finished:
        return False
    if _is_supervised(folder):
        return process.signal_process(_supervisor(folder), signal.SIGTERM)
    return end_left_running(folder, state, folder.load_spec().stop_grace_seconds)


def _supervisor(folder: JobFolder) -> ProcessIdentity | None:
    """The supervisor's identity; one that was started a moment ago has not written it yet."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        identity = folder.load_state().supervisor
        if identity is not None or not _is_supervised(folder):
            return identity
        time.sleep(0.05)
    raise SftError(f"Job {folder.id} does not start.", f"See {folder.supervisor_log}.")
