"""Whether a stopped step gave the memory of its NPUs back: what `npu-smi` said before it, and says after it."""

from __future__ import annotations

import time
from typing import Iterable, Optional

from sft_tui.monitor.shared_npu_smi import look_at_npus
from sft_tui.monitor.snapshot import NpuSnapshot, NpuUnavailable

FIRST_SECONDS = 4.0  # a step does not wait for long
RELEASE_SECONDS = 20.0  # the driver takes some seconds
POLL_SECONDS = 1.0
TOLERANCE_MB = 512


class DeviceMemory:
    """Memory of the NPUs that a step uses, seen before it starts. Without an NPU among `devices` nothing is asked."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._wanted = frozenset(int(d.partition(":")[2]) for d in devices if d.startswith("npu:"))
        self._before: dict[int, int] = {}
        self._unknown = ""
        self.held = False  # after `describe_release`: some NPU did not give its memory back
        if self._wanted:
            first = look_at_npus(deadline_seconds=FIRST_SECONDS).snapshot
            self._before = _used(first, self._wanted)
            if isinstance(first.reading, NpuUnavailable):  # one that hangs is not asked again
                self._unknown = first.reading.reason

    def describe_release(self) -> str:
        """Poll until the memory is back as it was, or for 20 s; a line for people, empty without NPUs."""
        if not self._wanted:
            return ""
        deadline = time.monotonic() + RELEASE_SECONDS
        while True:
            if self._unknown:
                return f"whether device memory is free again cannot be told: {self._unknown}"
            snapshot = look_at_npus().snapshot
            if isinstance(snapshot.reading, NpuUnavailable):
                self._unknown = snapshot.reading.reason
                continue
            now = _used(snapshot, self._wanted)
            held = {i: mb for i, mb in now.items() if mb > self._before.get(i, 0) + TOLERANCE_MB}
            if not now:
                return "whether device memory is free again cannot be told: npu-smi does not show it"
            if not held:
                return f"the memory of NPU {', '.join(map(str, sorted(now)))} is free again"
            if time.monotonic() > deadline:
                self.held = True
                return "; ".join(
                    f"NPU {i} still holds {mb} MB ({_before(self._before.get(i))})" for i, mb in sorted(held.items())
                )
            time.sleep(POLL_SECONDS)


def _before(megabytes: Optional[int]) -> str:
    return "what it held before is not known" if megabytes is None else f"{megabytes} MB before the step"


def _used(snapshot: NpuSnapshot, wanted: frozenset[int]) -> dict[int, int]:
    """Device index -> MB in use; what cannot be read is left out."""
    used = {}
    for device in snapshot.devices:
        megabytes = device.main_memory_mb[0]
        if device.index in wanted and megabytes is not None:
            used[device.index] = megabytes
    return used
