"""What devices of many hosts look like: a state for each value, a character for each device, the worst host first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, Optional, Sequence

from sft_tui.monitor.snapshot import NpuDevice, NpuSnapshot, NpuUnavailable

ValueState = Literal["ok", "stale", "unsupported", "no permission", "unavailable"]
CellKind = Literal["ok", "stale", "unavailable", "foreign", "bad"]
Measure = Literal["use", "HBM", "temperature"]
MEASURES: Final[tuple[Measure, ...]] = ("use", "HBM", "temperature")
STALE_SECONDS: Final = 15.0  # older than a slow npu-smi makes it
HEALTHY: Final = "OK"
_COLDEST, _HOTTEST = 30.0, 90.0  # degrees Celsius that the digits 0 to 9 stand for
_SEVERITY: Final[dict[CellKind, int]] = {"ok": 0, "foreign": 1, "unavailable": 2, "stale": 3, "bad": 4}
_NAME_WIDTHS: Final = (16, 12, 8)  # where there is no room for them: the number of the host


@dataclass(frozen=True)
class DeviceCell:
    """One device in one character."""

    sign: str
    kind: CellKind


@dataclass(frozen=True)
class NodeCells:
    """One host in a row of characters; `note` stands where it has none. `place` is its number."""

    place: int
    name: str
    cells: tuple[DeviceCell, ...]
    note: str = ""
    is_quiet: bool = False  # nothing newer comes

    @property
    def severity(self) -> tuple[int, int]:
        """How bad it is: by its worst device, then by how many are as bad."""
        if not self.cells:
            return (_SEVERITY["stale"], 1) if self.is_quiet else (0, 0)
        worst = max(_SEVERITY[cell.kind] for cell in self.cells)
        return worst, sum(_SEVERITY[cell.kind] == worst for cell in self.cells) if worst else 0


@dataclass(frozen=True)
class StripLayout:
    """How many hosts stand beside each other and below each other, and how much room their names have."""

    columns: int
    rows: int
    name_width: int
    cell_width: int

    @property
    def shows_names(self) -> bool:
        """There is room for more than numbers."""
        return self.name_width in _NAME_WIDTHS

    @property
    def per_page(self) -> int:
        """Hosts on a page."""
        return self.columns * self.rows


def value_state(snapshot: NpuSnapshot, device: Optional[NpuDevice], field: str, age: float) -> ValueState:
    """How far one value can be relied on; `device` is None where the host shows none."""
    reading = snapshot.reading
    if isinstance(reading, NpuUnavailable):
        return "no permission" if reading.state == "no permission" else "unavailable"
    if device is None or field in device.unread:
        return "unavailable"
    if getattr(device, field) is None:
        # of a table that broke off, the processes may have been in the part that is missing
        return "unavailable" if field == "processes" and not reading.is_whole else "unsupported"
    return "stale" if age > STALE_SECONDS else "ok"


def is_foreign(device: NpuDevice) -> bool:
    """A process of it belongs to none of this user's jobs."""
    return any(process.job == "" for process in device.processes or ())


def share_of(device: NpuDevice, measure: Measure) -> Optional[float]:
    """The measure between 0 and 1; None where it is not told."""
    if measure == "use":
        return None if device.utilisation_percent is None else device.utilisation_percent / 100
    if measure == "HBM":
        return memory_share(device)
    if device.temperature_c is None:
        return None
    return min(1.0, max(0.0, (device.temperature_c - _COLDEST) / (_HOTTEST - _COLDEST)))


def memory_share(device: NpuDevice) -> Optional[float]:
    """Of the HBM, or of the DDR where the board has no other."""
    used, total = device.main_memory_mb
    return min(1.0, used / total) if used is not None and total else None


def device_cell(device: NpuDevice, measure: Measure, *, is_stale: bool) -> DeviceCell:
    """The worst that can be said of the device, in one character; if it is well, its measure as a digit."""
    if device.health is not None and device.health != HEALTHY:
        return DeviceCell("!", "bad")
    if is_stale:
        return DeviceCell("~", "stale")
    if (share := share_of(device, measure)) is None:
        return DeviceCell("?", "unavailable")
    return (
        DeviceCell(str(min(9, math.floor(10 * share))), "ok") if not is_foreign(device) else DeviceCell("x", "foreign")
    )


def node_cells(
    place: int, name: str, snapshot: Optional[NpuSnapshot], age: float, problem: str, measure: Measure
) -> NodeCells:
    """The row of one host; `problem` says why nothing newer comes."""
    problem = problem.removeprefix(f"{name}: ")
    if snapshot is None:
        return NodeCells(place, name, (), problem or "asked ...", is_quiet=bool(problem))
    reading = snapshot.reading
    if isinstance(reading, NpuUnavailable):
        is_quiet = reading.state not in ("no npu-smi", "asked") or bool(problem)
        return NodeCells(
            place, name, (), problem or ("no NPU" if reading.state == "no npu-smi" else reading.state), is_quiet
        )
    is_stale = age > STALE_SECONDS
    cells = tuple(device_cell(device, measure, is_stale=is_stale) for device in reading.devices)
    return NodeCells(place, name, cells, problem or ("" if cells else "no NPU told"), is_stale)


def order_nodes(nodes: Sequence[NodeCells]) -> list[NodeCells]:
    """The worst first; those that are as bad as each other keep their places."""
    return sorted(nodes, key=lambda node: (tuple(-part for part in node.severity), node.place))


def lay_out(count: int, cells: int, width: int, rows: int) -> StripLayout:
    """The layout with the longest names that still shows all on one page; where none does, the densest."""
    rows, cells = max(1, rows), max(8, cells)
    columns, name_width = 1, 0
    for name_width in (*_NAME_WIDTHS, len(str(max(0, count - 1)))):
        columns = max(1, (width + 1) // (name_width + 1 + cells + 1))
        if columns * rows >= count:
            break
    return StripLayout(min(columns, max(1, math.ceil(count / rows))), rows, name_width, cells)
