"""Runs a command that should be short: a deadline, a bound on its output, and nothing left running."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Literal, Optional

from sft_tui.paths import child_environment

MOST_BYTES = 1_000_000  # 64 chips with all their processes are below 200 kB
KILL_SECONDS = 1.0  # one that SIGKILL does not end in this time waits for the driver
_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.25  # whether somebody still waits for it

Child = subprocess.Popen[bytes]


@dataclass(frozen=True)
class ShortRun:
    """`exit_code` is None for one that was ended: `stopped` says why, `left_running` its pid if it would not go."""

    out: str
    err: str
    exit_code: Optional[int]
    stopped: Literal["", "slow", "flood"] = ""
    left_running: Optional[int] = None


def run_short(
    argv: list[str],
    deadline_seconds: float,
    *,
    keep_open: tuple[int, ...] = (),
    is_given_up: Callable[[], bool] = lambda: False,
) -> ShortRun:
    """Run it with untranslated messages and wait for its end. Raises OSError if it cannot be started.

    It inherits the descriptors `keep_open`: a lock is held as long as it lives, whatever becomes of this process. Once
    it `is_given_up` it is ended as a slow one.
    """
    end = time.monotonic() + deadline_seconds
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment({"LC_ALL": "C"}, {}),
        cwd="/",
        start_new_session=True,
        pass_fds=keep_open,
    )
    # apart: a warning must not get in between the cells of a table
    output = {"out": bytearray(), "err": bytearray()}
    stopped: Literal["", "slow", "flood"] = "slow"
    try:
        stopped = _read_all(child, output, end, is_given_up)
        if not stopped:
            stopped = _wait_for(child, end)
    finally:
        is_gone = _end(child)
    out, err = (output[name][:MOST_BYTES].decode("utf-8", "replace") for name in ("out", "err"))
    return ShortRun(
        out=out,
        err=err,
        exit_code=None if stopped else child.returncode,
        stopped=stopped,
        left_running=None if is_gone else child.pid,
    )


def _read_all(
    child: Child, output: dict[str, bytearray], end: float, is_given_up: Callable[[], bool]
) -> Literal["", "slow", "flood"]:
    """Read both pipes to their end, to the deadline or to the bound."""
    assert child.stdout is not None and child.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, "out")
        selector.register(child.stderr, selectors.EVENT_READ, "err")
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0 or is_given_up():
                return "slow"
            for key, _ in selector.select(min(left, _LOOK_SECONDS)):
                chunk = os.read(key.fd, 65536)
                output[key.data] += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
            if sum(map(len, output.values())) > MOST_BYTES:
                return "flood"
    return ""


def _wait_for(child: Child, end: float) -> Literal["", "slow"]:
    while not _has_ended(child):
        if time.monotonic() > end:
            return "slow"
        time.sleep(_POLL_SECONDS)
    return ""


def _has_ended(child: Child) -> bool:
    """Without waiting for it: as a zombie it keeps its process group."""
    with contextlib.suppress(OSError):
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _end(child: Child) -> bool:
    """Kill the whole group and close the pipes; whether the leader is gone."""
    if child.returncode is None:
        # not waited for until now: its group cannot be another's
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        # no wait without an end: a process that hangs in the driver cannot be killed
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(KILL_SECONDS)
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    return child.returncode is not None
