"""Defines a snapshot of the NPUs of a host: immutable data, None for every value that is not available."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional, Union

UnavailableState = Literal[
    "no npu-smi", "no permission", "in use", "missing library", "no answer", "unknown layout", "failed", "asked"
]


@dataclass(frozen=True)
class NpuProcess:
    """A process on a device. `pid` is the host's; `container_pid` its pid inside its container, where npu-smi tells.

    `job` is the id of the sft-tui job that it belongs to, empty for a foreign one, None where that cannot be told.
    """

    pid: Optional[int]
    name: Optional[str]
    memory_mb: Optional[int]
    container_pid: Optional[int] = None
    user: Optional[str] = None
    job: Optional[str] = None


@dataclass(frozen=True)
class NpuDevice:
    """One chip (an A3 card has two). Power in watts, temperature in degrees Celsius, memory in MB.

    `index` is the number that a job names the chip by: the Phy-ID or Device cell where the layout has one, else the
    NPU id if that NPU shows a single chip; None when neither tells. `npu_id` is the card (215 is possible), `chip_id`
    the chip on it; together they are npu-smi's own address (`-i`, `-c`).
    `memory_*` is the chip's DDR, which boards without HBM have alone and 910A has beside it.
    `processes`: None when npu-smi said nothing about this NPU, empty when it said that none run.
    `unread`: fields that were told in a way that cannot be read; every other None is not told by this board or driver.
    """

    index: Optional[int]
    npu_id: int
    chip_id: Optional[int]
    name: Optional[str] = None
    health: Optional[str] = None
    power_w: Optional[float] = None
    temperature_c: Optional[float] = None
    utilisation_percent: Optional[float] = None
    hbm_used_mb: Optional[int] = None
    hbm_total_mb: Optional[int] = None
    memory_used_mb: Optional[int] = None
    memory_total_mb: Optional[int] = None
    processes: Optional[tuple[NpuProcess, ...]] = None
    unread: tuple[str, ...] = ()

    @property
    def main_memory_mb(self) -> tuple[Optional[int], Optional[int]]:
        """Used and total of what a training works in: the HBM, or the DDR of a board without one (310P)."""
        if self.hbm_total_mb is None and self.memory_total_mb is not None:
            return self.memory_used_mb, self.memory_total_mb
        return self.hbm_used_mb, self.hbm_total_mb


@dataclass(frozen=True)
class NpuTable:
    """What `npu-smi info` printed.

    `is_whole` is False when the text broke off. `unknown_columns` are header words that no rule knows: their values
    are left out. `unread_lines` are lines that do not fit their header: nothing was taken from them.
    """

    version: Optional[str]
    devices: tuple[NpuDevice, ...]
    is_whole: bool
    unknown_columns: tuple[str, ...] = ()
    unread_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class NpuUnavailable:
    """Why there is nothing to show, and what to do.

    `text` is what npu-smi printed, shortened: its header if that is unknown. `left_running` is the pid of an npu-smi
    that hangs in the driver and could not be killed: another call would hang beside it.
    """

    state: UnavailableState
    reason: str
    hint: str
    text: str = ""
    left_running: Optional[int] = None

    def __str__(self) -> str:
        return f"NPUs not available, because {self.reason}. {self.hint}"


NpuReading = Union[NpuTable, NpuUnavailable]


@dataclass(frozen=True)
class NpuSnapshot:
    """A reading, the moment it was asked for (seconds since the epoch) and how long the answer took."""

    taken_at: float
    took_seconds: float
    reading: NpuReading

    @property
    def devices(self) -> tuple[NpuDevice, ...]:
        """The devices; none when the reading is not available."""
        return self.reading.devices if isinstance(self.reading, NpuTable) else ()
