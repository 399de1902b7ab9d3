"""Takes requests to a supervisor by signals: SIGTERM stops the job, SIGUSR1 kills it without waiting."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Final

STOP: Final = signal.SIGTERM
KILL_NOW: Final = signal.SIGUSR1


class Requests:
    """The requests so far, and a sleep that ends when one comes or a child has ended."""

    def __init__(self) -> None:
        self.stop = False
        self.kill = False
        self._wakeup_read, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        signal.signal(STOP, self._on_stop)
        signal.signal(KILL_NOW, self._on_kill)
        # handlers, not SIG_IGN: a step must not inherit that these are ignored
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, lambda _number, _frame: None)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop = True

    def _on_kill(self, _number: int, _frame: FrameType | None) -> None:
        self.stop = self.kill = True

    def sleep(self, seconds: float) -> None:
        """Until the time is over or a signal has come."""
        readable, _, _ = select.select([self._wakeup_read], [], [], seconds)
        if readable:
            try:
                os.read(self._wakeup_read, 4096)
            except BlockingIOError:
                return
