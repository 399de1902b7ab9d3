"""Stops a step in three stages: ask, wait, kill; and then looks for what is left.

msrun kills its workers on a signal, so a training that can save is not signalled before its time is over: MindSpore's
`OnRequestExit` looks for a file before each step. msrun also puts its workers into sessions of their own: stopping
goes by the process tree, and the supervisor is a subreaper, so that orphans stay in it.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from sft_tui.core.plan import Step
from sft_tui.files.whole_file import write_private
from sft_tui.jobs import process
from sft_tui.jobs.record import JobRecord, say
from sft_tui.jobs.requests import KILL_NOW, STOP

CLOCK_TOLERANCE = 1.0  # seconds
ASK_TO_EXIT = '{"GracefulExit": 1}\n'  # what MindSpore's callback OnRequestExit looks for before each step


class Stopping:
    """The stop of a running step; `grace` in seconds. `trains`: training has begun, there is something to save."""

    def __init__(self, step: Step, record: JobRecord, *, grace: float, trains: bool) -> None:
        self._record = record
        self._step = step
        grace = max(grace, step.least_grace)
        self._deadline = time.monotonic() + grace
        self._hurried = False
        self._killed_at: float | None = None
        self._stop_by = time.time() + grace
        self.saves = trains and grace > 0 and _ask_to_save(step)
        how = "a checkpoint is saved first" if self.saves else "asked to end"
        record.update(lifecycle="stopping", reason=how, stop_by=self._stop_by)
        record.emit("stop_asked", step, {"grace_seconds": grace, "saves": self.saves})
        if step.least_grace:  # it tells other hosts, by connections that are to stay
            process.signal_process(record.state.step(step.id).process, STOP)
        elif not self.saves:  # a signal ends msrun, which would not wait for a checkpoint
            process.signal_descendants(signal.SIGTERM)

    def look(self, *, at_once: bool) -> None:
        """Kill what still runs once the time is over, or at once."""
        if self._killed_at is not None:
            return
        if at_once and self._step.least_grace and not self._hurried:
            self._hurried = True
            self._deadline = time.monotonic() + self._step.least_grace
            process.signal_process(self._record.state.step(self._step.id).process, KILL_NOW)
        left = self._deadline - time.monotonic()
        if left >= 0 and (not at_once or self._step.least_grace):
            self._tell_again(time.time() + left)
            return
        self._killed_at = time.monotonic()
        count = process.signal_descendants(signal.SIGKILL)
        self._record.emit("kill_sent", self._step, {"processes": count})

    @property
    def in_vain(self) -> bool:
        """SIGKILL was sent long ago."""
        return self._killed_at is not None and time.monotonic() - self._killed_at > process.KILL_SECONDS

    def _tell_again(self, stop_by: float) -> None:
        """The countdown goes by the time of day: where that was set, by the new one."""
        if abs(stop_by - self._stop_by) > CLOCK_TOLERANCE:
            self._stop_by = stop_by
            self._record.update(stop_by=stop_by)


def _ask_to_save(step: Step) -> bool:
    """Let MindFormers finish its step, save a checkpoint and end by itself; whether it could be asked."""
    if not step.graceful_exit:
        return False
    try:
        write_private(Path(step.graceful_exit), ASK_TO_EXIT)
    except OSError as error:
        say(f"the training could not be asked to save a checkpoint: {error}")
        return False
    return True


def forget_request(step: Step) -> None:
    """A request of an earlier stop must not end the step that begins now. Raises OSError."""
    if step.graceful_exit:
        Path(step.graceful_exit).unlink(missing_ok=True)


def describe_left(left: list[int]) -> str:
    """What of a job could not be ended, or an empty string."""
    if not left:
        return ""
    names = ", ".join(f"process {pid} ({process.name_of(pid)})" for pid in left)
    return f"{names} did not end, not even on SIGKILL: waiting for a device or a disk"
