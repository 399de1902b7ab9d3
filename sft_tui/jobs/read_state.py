"""Whether a job's supervisor lives, and the state that is true: a job without one reads as lost.

`lock` in a job's folder is held by its supervisor for its whole life, from before it started (the descriptor is
inherited, locked). Who can take the lock knows that the supervisor is dead: the job reads as `lost`. A pid is only
ever used together with start time and boot id.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import datetime
from pathlib import Path

from sft_tui.core.job import JobState
from sft_tui.jobs.leftovers import left_running
from sft_tui.jobs.supervisor_process import is_halted
from sft_tui.paths import boot_id
from sft_tui.store.job_store import JobFolder

HALTED = "is stopped by SIGSTOP"


def read_state(folder: JobFolder) -> JobState:
    """The true state: a job whose supervisor is gone reads as lost. Raises SftError."""
    state = folder.load_state()
    if state.finished:
        return state
    if is_supervised(folder):
        return _halted(folder, state) if is_halted(state.supervisor) else state
    state = folder.load_state()  # it may have ended between the two looks
    return state if state.finished else _lost(folder, state)


def _halted(folder: JobFolder, state: JobState) -> JobState:
    assert state.supervisor is not None
    hint = f"kill -CONT {state.supervisor.pid} lets it go on; sft-tui jobs stop {folder.id} ends the job."
    return state.model_copy(update={"reason": f"its supervisor {HALTED}: nothing is noted of it", "hint": hint})


def is_supervised(folder: JobFolder) -> bool:
    """Somebody holds the job's lock."""
    try:
        lock = os.open(folder.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def _lost(folder: JobFolder, state: JobState) -> JobState:
    step = next((s for s in state.steps if s.status == "running"), None)
    hint = f"sft-tui run {state.profile} goes on with what is not done."
    if state.supervisor is not None and boot_id() not in ("", state.supervisor.boot_id):
        reason = f"machine restarted at {_boot_time()}"
    else:
        reason = "its supervisor is gone"
        if folder.supervisor_log.is_file() and folder.supervisor_log.stat().st_size:
            reason += f"; see {folder.supervisor_log}"
        left = left_running(folder, state)
        if left:
            what = f"step {step.id}" if step is not None else "a step"
            reason += f"; {what} still runs as process {left[0].pid}"
            hint = f"sft-tui jobs stop {folder.id} ends it. {hint}"
    ended = _last_sign_of_life(folder)
    changed = state.model_copy(
        update={
            "lifecycle": "finished", "outcome": "lost", "reason": reason, "hint": hint, "stop_by": None,
            "ended_at": ended,
        }
    )  # fmt: skip
    return changed.with_step(step.id, status="failed", reason="lost", ended_at=ended) if step else changed


def _last_sign_of_life(folder: JobFolder) -> float:
    """When its supervisor wrote last."""
    paths = (folder.events, folder.path / "state.json")
    return max(path.stat().st_mtime for path in paths if path.exists())


def _boot_time() -> str:
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return datetime.fromtimestamp(time.time() - uptime).strftime("%Y-%m-%d %H:%M")
