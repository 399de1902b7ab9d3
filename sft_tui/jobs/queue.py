"""Who goes first: a queued job waits for jobs that use its devices, and for those that it was told to come after.

There is no daemon: the supervisor of a waiting job watches the locks of the jobs before it. Whether it may start is
decided behind the gate that submissions go through as well, so that two jobs cannot both find a device free.

Jobs are numbered in the order of submission, whatever the clock does. Devices are names in `Step.devices`: `npu:0`,
`cpu`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, Iterator, Optional

from sft_tui.core.job import JobSpec, initial_state
from sft_tui.errors import SftError
from sft_tui.files.private_dir import check_own_dir, make_private_dir
from sft_tui.jobs.leftovers import left_running, look_again, marked
from sft_tui.jobs.read_state import is_supervised, read_state
from sft_tui.store.job_store import JobFolder, job_number, list_jobs

POLL_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 10.0  # a job may come to be held, and what is left of a lost one may end, without a sign


@dataclass(frozen=True)
class Wait:
    """Why a job cannot start yet. `held`: it would wait for ever, for the one before it did not succeed."""

    jobs: tuple[str, ...]
    reason: str
    hint: str = ""
    held: bool = False


@contextlib.contextmanager
def gate(jobs_dir: Path) -> Iterator[None]:
    """One at a time: who submits a job, starts one or removes one. Raises EnvironmentNotFitError, OSError."""
    make_private_dir(jobs_dir)
    check_own_dir(jobs_dir)
    with open_private(jobs_dir / ".submit") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_private(path: Path) -> IO[bytes]:
    """Open a file to lock it; created for the user alone. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600), "wb")


def find_wait(folder: JobFolder, spec: JobSpec) -> Optional[Wait]:
    """What the job has to wait for, or None: it may start. Call it behind the gate."""
    for wanted in spec.after:
        wait = _wait_for_predecessor(folder, spec, wanted)
        if wait is not None:
            return wait
    return _wait_for_devices(folder, spec)


def changed_at(jobs_dir: Path) -> int:
    """Differs after a job came or went. Take it behind the gate, before `find_wait`. Raises OSError."""
    return jobs_dir.stat().st_mtime_ns


def wait_for_change(jobs_dir: Path, wait: Wait, seen: int, pause: Callable[[float], bool]) -> None:
    """Return when it is worth to look again; `pause` sleeps so many seconds, and says True to end the waiting."""
    watched = [folder for folder in (JobFolder(jobs_dir / job) for job in wait.jobs) if is_supervised(folder)]
    deadline = time.monotonic() + LOOK_AGAIN_SECONDS
    while not pause(POLL_SECONDS) and time.monotonic() < deadline:
        if changed_at(jobs_dir) != seen or not all(map(is_supervised, watched)):
            return


def _wait_for_predecessor(folder: JobFolder, spec: JobSpec, wanted: str) -> Optional[Wait]:
    """A later job that does all that the predecessor was to do counts as well: it mends a failed one."""
    profile = wanted.partition("-")[2]
    same_profile = profile == spec.plan.profile
    candidates = [job for job in list_jobs(folder.path.parent) if job.id == wanted]
    if candidates:
        later = _repetitions(candidates[0], profile)
        candidates += [job for job in later if not same_profile or job_number(job.id) < job_number(spec.id)]
    hint = f"sft-tui jobs stop {spec.id} takes it out of the queue."
    if not candidates:
        return Wait((), f"held: job {wanted}, which it waits for, is no longer there", hint, held=True)
    states = []
    for job in candidates:
        try:
            states.append(read_state(job))
        except SftError as error:
            return Wait((job.id,), f"held: {error.message}", hint, held=True)
    newest = states[-1]
    if any(state.outcome == "succeeded" for state in states):
        return None
    if not newest.finished:
        return Wait((newest.id,), f"waits for job {newest.id} to succeed")
    if not same_profile:
        hint = f"When sft-tui run {profile} succeeds, this job goes on by itself. {hint}"
    return Wait((newest.id,), f"held: job {newest.id}, which it waits for, {newest.outcome_text}", hint, held=True)


def _repetitions(job: JobFolder, profile: str) -> list[JobFolder]:
    """Later jobs of that profile which have to do at least the same steps."""
    found = []
    for later in list_jobs(job.path.parent):
        if later.id.partition("-")[2] == profile and job_number(later.id) > job_number(job.id):
            with contextlib.suppress(SftError):
                if later.load_spec().wanted_steps >= job.load_spec().wanted_steps:
                    found.append(later)
    return found


def _wait_for_devices(folder: JobFolder, spec: JobSpec) -> Optional[Wait]:
    if not spec.plan.devices:
        return None
    look_again()
    for other in list_jobs(folder.path.parent, settled=True):
        if other.id == folder.id:
            continue
        with contextlib.suppress(SftError):  # a damaged job holds nothing that we could name
            wait = _wait_for_other(other, spec)
            if wait is not None:
                return wait
    return None


def _wait_for_other(other: JobFolder, ours: JobSpec) -> Optional[Wait]:
    lives = is_supervised(other)
    try:
        state = other.load_state()
    except SftError:  # damaged: the lock says whether it lives
        if not lives and not marked(other.path):
            return None
        state = initial_state(other.load_spec()).model_copy(update={"lifecycle": "running"})
    if state.finished or (not lives and not left_running(other, state)):
        return None
    spec = other.load_spec()
    shared = ours.plan.devices & spec.plan.devices
    if not shared or spec.whole == ours.whole:
        return None
    if lives and state.lifecycle == "queued":
        # who came later lets us go first; who waits for the success of another stands in nobody's way: we may be it
        unready = (_wait_for_predecessor(other, spec, wanted) for wanted in spec.after)
        if job_number(other.id) > job_number(ours.id) or any(unready):
            return None
    if not lives:
        hint = f"sft-tui jobs stop {other.id} ends what is left of it."
        return Wait(
            (other.id,), f"waits for what is left of the lost job {other.id} ({describe_devices(shared)})", hint
        )
    return Wait((other.id,), f"waits for job {other.id}, which uses {describe_devices(shared)}")


def describe_devices(devices: frozenset[str]) -> str:
    """`NPU 0, 1, 2` or `the CPU`."""
    npus = sorted(int(d.partition(":")[2]) for d in devices if d.startswith("npu:"))
    return f"NPU {', '.join(map(str, npus))}" if npus else "the CPU"
