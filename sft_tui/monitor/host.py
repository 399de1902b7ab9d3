"""How busy this host is."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class HostLoad:
    """A snapshot of the host. Percentages 0 to 100, memory and disk in bytes."""

    cpu_percent: float
    load_1min: float
    cores: int
    memory_used: int
    memory_total: int
    disk_free: int


def sample_host(disk_path: str) -> HostLoad:
    """Sample now; `cpu_percent` is the mean since the last call."""
    memory = psutil.virtual_memory()
    return HostLoad(
        cpu_percent=psutil.cpu_percent(),
        load_1min=psutil.getloadavg()[0],
        cores=psutil.cpu_count() or 1,
        memory_used=memory.total - memory.available,
        memory_total=memory.total,
        disk_free=psutil.disk_usage(disk_path).free,
    )
