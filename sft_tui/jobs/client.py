"""What the UI and the command line do with jobs: submit, watch, stop, list. They read a job's folder, never write it."""

from __future__ import annotations

import fcntl
import signal
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Iterator

from sft_tui.core.job import Event, JobState, ProcessIdentity
from sft_tui.core.plan import Plan
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs import process
from sft_tui.store.atomic import make_private_dir
from sft_tui.store.job_store import JobFolder, create_job, list_jobs

WATCH_SECONDS = 0.25


@dataclass(frozen=True)
class JobUpdate:
    """The state of a job and what happened since the last look."""

    state: JobState
    events: tuple[Event, ...]


def submit(jobs_dir: Path, plan: Plan, *, from_step: str = "", until_step: str = "") -> JobFolder:
    """Write the job and start its supervisor. Raises InvalidInputError for an unknown step or a profile that runs already."""
    known = [step.id for step in plan.steps]
    for wanted in (from_step, until_step):
        if wanted and wanted not in known:
            raise InvalidInputError(f"There is no step {wanted!r}.", f"The steps are {', '.join(known)}.")
    make_private_dir(jobs_dir)
    # one submission at a time, so that two `run`s of one profile cannot both find it idle
    with (jobs_dir / ".submit").open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        running = running_job(jobs_dir, plan.profile)
        if running is not None:
            raise InvalidInputError(
                f"Profile {plan.profile} runs already as job {running.id}.",
                f"sft-tui jobs attach {running.id} shows it; sft-tui jobs stop {running.id} ends it.",
            )
        folder = create_job(jobs_dir, plan, from_step=from_step, until_step=until_step)
        with folder.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # the supervisor inherits the locked descriptor; ours closes, the lock stays with it
            process.start_supervisor(folder.path, lock.fileno())
    return folder


def running_job(jobs_dir: Path, profile: str) -> JobFolder | None:
    """The job of that profile that has not ended, if there is one."""
    for folder in reversed(list_jobs(jobs_dir)):
        state = read_state(folder)
        if state.profile == profile and not state.finished:
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
    step = state.current_step
    hint = f"sft-tui run {state.profile} goes on after the last finished step."
    if state.supervisor is not None and state.supervisor.boot_id != process.boot_id():
        reason = f"machine restarted at {_boot_time()}"
    else:
        reason = f"its supervisor is gone; see {folder.supervisor_log}"
        if step is not None and process.is_alive(step.process):
            assert step.process is not None
            reason += f"; step {step.id} still runs as process {step.process.pid}"
            hint = f"sft-tui jobs stop {folder.id} ends it. {hint}"
    changed = state.model_copy(update={"lifecycle": "finished", "outcome": "lost", "reason": reason, "hint": hint})
    return changed.with_step(step.id, status="failed", reason="lost") if step and step.status == "running" else changed


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
    """Ask the job to stop; whether there was something to stop. Returns at once: the supervisor does it in stages."""
    state = folder.load_state()
    if state.finished:
        return False
    if _is_supervised(folder):
        return process.signal_process(_supervisor(folder), signal.SIGTERM)
    step = state.current_step
    return process.signal_session(step.process if step else None, signal.SIGTERM)


def _supervisor(folder: JobFolder) -> ProcessIdentity:
    """The supervisor's identity; one that was started a moment ago has not written it yet."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        identity = folder.load_state().supervisor
        if identity is not None:
            return identity
        time.sleep(0.05)
    raise SftError(f"Job {folder.id} does not start.", f"See {folder.supervisor_log}.")
