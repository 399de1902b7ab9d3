"""Measures how busy this host is, and the room on its disks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterable, Optional

import psutil


@dataclass(frozen=True)
class DiskSpace:
    """The disk that a folder is on, in bytes."""

    path: str
    free: int
    total: int


@dataclass(frozen=True)
class HostLoad:
    """A snapshot of the host. Percentages 0 to 100, memory and disk in bytes, network in bytes per second.

    `disks` are those of the job's folders, each once.
    """

    cpu_percent: float
    load_1min: float
    cores: int
    memory_used: int
    memory_total: int
    disk_free: int
    disks: tuple[DiskSpace, ...] = ()
    received_per_second: Optional[float] = None
    sent_per_second: Optional[float] = None


def sample_host(disk_path: str) -> HostLoad:
    """Sample now; `cpu_percent` is the mean since the last call. Raises OSError."""
    return _sample_but_disks(psutil.disk_usage(disk_path).free)


def _sample_but_disks(disk_free: int) -> HostLoad:
    memory = psutil.virtual_memory()
    return HostLoad(
        cpu_percent=psutil.cpu_percent(),
        load_1min=psutil.getloadavg()[0],
        cores=psutil.cpu_count() or 1,
        memory_used=memory.total - memory.available,
        memory_total=memory.total,
        disk_free=disk_free,
    )


def measure_disks(paths: Iterable[str]) -> tuple[DiskSpace, ...]:
    """The disks of these folders, or of what is above one that is not there yet. A network disk may make this wait."""
    disks: dict[int, DiskSpace] = {}
    for path in paths:
        there = Path(path if path.startswith("/") else "/")
        while not there.exists() and there != there.parent:
            there = there.parent
        try:
            device, usage = there.stat().st_dev, psutil.disk_usage(str(there))
        except OSError:
            continue
        disks.setdefault(device, DiskSpace(str(there), usage.free, usage.total))
    return tuple(disks.values())


class HostSampler:
    """Samples again and again: network rates are those since the sample before."""

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._before = _network()

    def sample(self, disks: tuple[DiskSpace, ...]) -> HostLoad:
        """Sample now, with disks that somebody else has measured."""
        (then, received, sent), now = self._before, _network()
        self._before = now
        seconds = now[0] - then
        load = replace(_sample_but_disks(disks[0].free if disks else 0), disks=disks)
        # a counter that went back belongs to an interface that is gone
        if seconds <= 0 or now[1] < received or now[2] < sent:
            return load
        return replace(
            load,
            received_per_second=round((now[1] - received) / seconds, 1),
            sent_per_second=round((now[2] - sent) / seconds, 1),
        )


def _network() -> tuple[float, int, int]:
    """Now, and bytes received and sent by all interfaces but the loopback."""
    counters = [c for name, c in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    return time.monotonic(), sum(c.bytes_recv for c in counters), sum(c.bytes_sent for c in counters)
