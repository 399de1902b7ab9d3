"""What still runs of a job whose supervisor is gone.

Every step carries `SFT_TUI_JOB`, the folder of its job, in its environment, and hands it on to all that it starts: that
finds workers in sessions of their own as well. Such a process is signalled only after its pid, start time and boot id
were noted.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Optional

from sft_tui.core.job import JobState, ProcessIdentity
from sft_tui.jobs import process
from sft_tui.paths import JOB_MARK, boot_id
from sft_tui.store.job_store import JobFolder

POLL_SECONDS = 0.05
SCAN_SECONDS = 0.5


def left_running(folder: JobFolder, state: Optional[JobState]) -> list[ProcessIdentity]:
    """Living processes of the job, its last step's leader first; empty after a restart of the machine.

    Without a state, whose file is damaged, those that carry its mark.
    """
    if state is None:
        return marked(folder.path)
    leader = next((s.process for s in state.steps if s.status == "running"), None)
    recorded = leader or state.supervisor
    if recorded is not None and boot_id() not in ("", recorded.boot_id):
        return []
    now = process.identify(leader.pid) if leader is not None else None
    if leader is not None and now is not None and now != leader:
        # the pid belongs to somebody else: whatever that process carries, it is not what was recorded
        return [p for p in marked(folder.path) if p.pid != leader.pid]
    # a step that was started a moment before its supervisor was killed is not on record, but it has the mark
    others = [p for p in marked(folder.path) if p != leader]
    return [*([now] if now is not None else []), *others]


def end_left_running(folder: JobFolder, state: Optional[JobState], grace: float) -> bool:
    """Ask what is left to end, and kill what remains after `grace` seconds; whether there was something."""
    look_again()
    left = left_running(folder, state)
    found = bool(left)
    number = signal.SIGTERM
    deadline = time.monotonic() + grace
    asked: set[ProcessIdentity] = set()
    while left:
        if number == signal.SIGTERM and time.monotonic() > deadline:
            number, asked = signal.SIGKILL, set()
            deadline = time.monotonic() + process.KILL_SECONDS
        elif time.monotonic() > deadline:
            break
        for identity in left:
            if identity not in asked:
                process.signal_process(identity, number)
                asked.add(identity)
        time.sleep(POLL_SECONDS)
        look_again()
        left = left_running(folder, state)
    return found


def look_again() -> None:
    """Forget the last look at the processes, where half a second matters."""
    _scan.cache_clear()


def marked(job_dir: Path) -> list[ProcessIdentity]:
    """Processes that carry the job's mark and still live: of this user, and of the one that the job belongs to.

    Whoever can start a process can give it a mark: that of another user is not ours to end.
    """
    found = _scan(int(time.monotonic() / SCAN_SECONDS)).get(process.mark_of(job_dir), [])
    try:
        owners = {os.geteuid(), job_dir.stat().st_uid}
    except OSError:
        owners = {os.geteuid()}
    return [p for p in found if process.is_alive(p) and process.owner_of(p.pid) in owners]


@functools.lru_cache(maxsize=1)
def _scan(_tick: int) -> dict[str, list[ProcessIdentity]]:
    """Job folder to marked processes. Kept for a tick of the clock: a list of many lost jobs looks at /proc once."""
    mark = f"{JOB_MARK}=".encode()
    found: dict[str, list[ProcessIdentity]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        identity = process.identify(int(folder.name))
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # somebody else's, or gone
            continue
        job = next((e[len(mark) :] for e in environment if e.startswith(mark)), b"")
        if identity is not None and job:
            found.setdefault(job.decode(errors="replace"), []).append(identity)
    return found
