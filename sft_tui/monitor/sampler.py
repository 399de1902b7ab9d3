"""Samples one host again and again: threads that wait for npu-smi and for disks, and the newest of what they found."""

from __future__ import annotations

import threading
import time
from typing import Final, Optional, Sequence

from sft_tui.monitor.host import DiskSpace, HostSampler, measure_disks
from sft_tui.monitor.sample_json import HostSample, not_asked_yet
from sft_tui.monitor.shared_npu_smi import Look, look_at_npus
from sft_tui.monitor.snapshot import NpuSnapshot, NpuUnavailable

REST_SECONDS: Final = 2.0  # npu-smi takes 1.2 s of a core's time, and more on a busy node
LONGEST_REST: Final = 60.0
SLOW_SECONDS: Final = 5.0
HOST_SECONDS: Final = 5.0  # without news of the NPUs
DISK_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 3.0


def next_rest(rest: float, snapshot: NpuSnapshot) -> float:
    """How long to leave npu-smi alone after this answer: longer each time that it is slow, or has nothing to say."""
    if isinstance(snapshot.reading, NpuUnavailable) or snapshot.took_seconds > SLOW_SECONDS:
        return min(LONGEST_REST, max(REST_SECONDS, 2 * rest))
    return REST_SECONDS


class Sampler:
    """Asks until it is closed; one npu-smi at a time."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._closed = threading.Event()
        self._news = threading.Event()
        self._look: Optional[Look] = None
        self._disks: tuple[DiskSpace, ...] = ()
        self._host = HostSampler()
        self._asker = threading.Thread(target=self._ask, daemon=True)
        self._asker.start()
        # apart from all else: a network disk that is gone makes whoever looks at it wait
        threading.Thread(target=self._measure, daemon=True).start()

    def wait_for_news(self, seconds: float) -> bool:
        """Wait for an answer of npu-smi that `sample` has not given yet."""
        return self._news.wait(seconds)

    def sample(self) -> HostSample:
        """The newest of everything."""
        self._news.clear()
        look, host = self._look, self._host.sample(self._disks)
        if look is None:
            return HostSample(not_asked_yet(time.time()), host)
        return HostSample(look.snapshot, host, time.monotonic() - look.asked_at)

    def close(self) -> None:
        """Ask no more; an npu-smi that runs is ended."""
        self._closed.set()
        self._asker.join(_CLOSE_SECONDS)

    def _ask(self) -> None:
        rest = REST_SECONDS / 2
        while not self._closed.is_set():
            look = look_at_npus(max_age=REST_SECONDS, is_given_up=self._closed.is_set)
            self._look = look
            self._news.set()
            rest = next_rest(rest, look.snapshot)
            self._closed.wait(rest)

    def _measure(self) -> None:
        while not self._closed.is_set():
            self._disks = measure_disks(self._paths)
            self._closed.wait(DISK_SECONDS)
