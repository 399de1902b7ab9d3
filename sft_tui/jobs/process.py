"""Processes of a job: starting them, telling them apart, ending them. The one place of jobs/ that uses subprocess."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

import psutil

from sft_tui.core.job import ProcessIdentity
from sft_tui.core.plan import Step
from sft_tui.core.secret_names import looks_secret
from sft_tui.files.regular_file import describe_kind
from sft_tui.paths import JOB_MARK, PACKAGE_DIR, boot_id, child_environment

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
KILL_SECONDS = 10.0  # a process that SIGKILL does not end in this time waits for a device or a disk

Child = subprocess.Popen[bytes]


def mark_of(job_dir: Path) -> str:
    """The value of the mark: one for each folder, whatever links lead to it."""
    return str(job_dir.resolve())


def identify(pid: int) -> ProcessIdentity | None:
    """Pid, start time and boot id of a living process (proc(5), field 22 of stat); None once it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the command name may hold spaces and brackets: fields count from the last bracket
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return ProcessIdentity(pid=pid, start_ticks=int(fields[19]), boot_id=boot_id())


def is_alive(identity: ProcessIdentity | None) -> bool:
    """That very process runs, not a later one with its pid."""
    return identity is not None and identify(identity.pid) == identity


def start_supervisor(job_dir: Path, lock_descriptor: int, secrets: dict[str, str]) -> None:
    """Start the supervisor of a job, detached from this terminal and session; it inherits the job's lock.

    `secrets` are environment values that are in no file: the supervisor hands them on to the steps.
    """
    log = os.open(job_dir / "supervisor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        first = subprocess.Popen(
            [sys.executable, str(PACKAGE_DIR), "_supervise", str(job_dir), str(lock_descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock_descriptor,),
            cwd="/",
            env=child_environment(secrets, {}),
        )
    finally:
        os.close(log)
    # it forks once more and ends at once, so that init adopts the supervisor
    first.wait()


def start_step(step: Step, log: Path, job_dir: Path) -> Child:
    """Start a step in a session of its own, its output straight into its log. Raises OSError."""
    descriptor = _open_step_log(log)
    # secrets were not written down: this process has them in its own environment
    kept = {name: value for name, value in step.env.items() if not looks_secret(name)}
    additions = {"PYTHONUNBUFFERED": "1", **kept, JOB_MARK: mark_of(job_dir)}
    try:
        return subprocess.Popen(
            list(step.whole_argv),
            cwd=step.cwd,
            env=child_environment(additions, step.search_paths),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _open_step_log(log: Path) -> int:
    """For appending. A FIFO without a reader would hold us up, and one with a reader would hold up the step."""
    with contextlib.suppress(FileNotFoundError):
        _check_log(log, log.stat().st_mode)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        _check_log(log, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_log(log: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"its log is {describe_kind(mode)}, not a file", str(log))


def become_subreaper() -> None:
    """Orphans of steps become children of this process instead of init's (prctl(2)). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants() -> list[psutil.Process]:
    """All living processes below this one: msrun puts its workers into sessions of their own, groups miss them."""
    return [p for p in psutil.Process().children(recursive=True) if identify(p.pid) is not None]


def signal_descendants(number: signal.Signals) -> int:
    """Send a signal to every process below this one; how many got it."""
    count = 0
    for process in descendants():
        with contextlib.suppress(psutil.Error):  # gone, or now another user's
            process.send_signal(number)
            count += 1
    return count


def reap_orphans(spare: int = 0) -> None:
    """Collect every ended process that was handed to us; `spare` is a child that somebody else waits for."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == spare:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


def _pause(seconds: float) -> None:
    """By a time-out that counts from now: Python sleeps until a time on a clock, which fails where clocks are faked."""
    select.select([], [], [], seconds)


def end_descendants(grace: float) -> list[int]:
    """Ask everything below this process to end, then kill what is left after `grace` seconds; pids that resist."""
    reap_orphans()
    signal_descendants(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while descendants() and time.monotonic() < deadline:
        _pause(0.05)
        reap_orphans()
    deadline = time.monotonic() + KILL_SECONDS
    while signal_descendants(signal.SIGKILL) and time.monotonic() < deadline:
        _pause(0.02)
        reap_orphans()
    reap_orphans()
    return [p.pid for p in descendants()]


def signal_process(identity: ProcessIdentity | None, number: signal.Signals) -> bool:
    """Signal one process if it is still that very one; whether it was."""
    if identity is None:
        return False
    try:
        # holding the process by a descriptor, its pid cannot pass to another one between the look and the signal
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    except (OSError, AttributeError):  # Linux before 5.3, or a Python built for one
        return is_alive(identity) and _kill(identity.pid, number)
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _kill(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def owner_of(pid: int) -> Optional[int]:
    """The user id of a process; None once it is gone."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def name_of(pid: int) -> str:
    """The command name of a process, or an empty string."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def signal_name(code: int) -> str:
    """Name of the signal that ended a process, from its exit code; empty where it ended by itself."""
    if code >= 0:
        return ""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def describe_exit(code: int) -> str:
    """An exit code as a person reads it."""
    return f"killed by {signal_name(code)}" if code < 0 else f"exit code {code}"
