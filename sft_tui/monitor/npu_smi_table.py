"""Reads the tables that `npu-smi info` prints: first the devices, then their processes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Optional

from sft_tui.core.terminal_text import neutralise
from sft_tui.monitor.npu_smi_header import HeaderRow, fields_of, read_header_row, read_row, split_cells, unknown_words
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuTable

_RULE = re.compile(r"\+[-=+]*\+")
_BANNER = re.compile(r"npu-smi\b.*?Version:\s*(\S+)")
_IDLE = re.compile(r"No running processes found in NPU\s+([0-9]{1,12})")
_MEASURES = {"power_w", "temperature_c", "utilisation_percent", "hbm_used_mb", "memory_used_mb"}
# what no chip can have is a driver's mark for "could not be read"
_CELSIUS = (-60.0, 200.0)
_WATTS = (0.0, 10_000.0)
_PERCENT = (0.0, 100.0)
_MEMORIES = {"hbm_used_mb", "hbm_total_mb", "memory_used_mb", "memory_total_mb"}


class _Running(NamedTuple):
    """A row of the process table: where, which, and the line itself."""

    npu_id: int
    chip_id: Optional[int]
    process: NpuProcess
    line: str


@dataclass
class _Found:
    """What was found so far; `header` is that of the table that the next rows belong to."""

    header: tuple[HeaderRow, ...] = ()
    fields: set[str] = field(default_factory=set)
    version: Optional[str] = None
    devices: list[NpuDevice] = field(default_factory=list)
    device_fields: set[str] = field(default_factory=set)  # what the device table's header names
    running: list[_Running] = field(default_factory=list)
    told: set[int] = field(default_factory=set)  # NPUs that the process table speaks of
    unknown: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_table(text: str) -> Optional[NpuTable]:
    """The table in `text`; None if no header of devices is known, or none of the rows fits it."""
    found = _Found()
    for block, ended_by in _blocks(text):
        cells = split_cells(block[0]) or []
        if banner := _BANNER.match("".join(cells)):
            found.version = neutralise(banner[1])
        elif cells and ended_by == "=" and _is_header(cells, block):
            _take_header(found, block)
        else:
            _take_rows(found, block)
    has_unread_rows = any(line.startswith("|") for line in found.unread)
    if not found.device_fields or (has_unread_rows and not found.devices):
        return None
    _number_devices(found)
    _place_processes(found)
    return NpuTable(
        version=found.version,
        devices=tuple(found.devices),
        is_whole=_ends_whole(text),
        unknown_columns=tuple(map(neutralise, dict.fromkeys(found.unknown))),
        unread_lines=tuple(map(neutralise, found.unread)),
    )


def _blocks(text: str) -> list[tuple[list[str], str]]:
    """The lines between two rules, each with the kind of rule that ended them (`-`, `=`, or none at the end)."""
    blocks: list[tuple[list[str], str]] = []
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if _RULE.fullmatch(line):
            if lines:
                blocks.append((lines, "=" if "=" in line else "-"))
            lines = []
        elif line:
            lines.append(line)
    if lines:
        blocks.append((lines, ""))
    return blocks


def _ends_whole(text: str) -> bool:
    """A table ends with a rule; below it only warnings may follow."""
    drawn = [line for line in map(str.strip, text.splitlines()) if line[:1] in ("|", "+")]
    return bool(drawn) and _RULE.fullmatch(drawn[-1]) is not None


def _is_header(cells: list[str], block: list[str]) -> bool:
    """Known or not: a row of values always holds a number, or says that nothing runs."""
    names = fields_of([read_header_row(cells)])
    return ("npu_id" in names and len(names) > 1) or not any(map(str.isdigit, "".join(block)))


def _take_header(found: _Found, block: list[str]) -> None:
    """From here on rows are read by this header, or not at all if it is not known."""
    rows = [split_cells(line) for line in block]
    header = tuple(read_header_row(cells) for cells in rows if cells is not None)
    names = fields_of(header)
    # a word that stands twice would leave open which value is meant
    is_clear = len(header) == len(block) and len(names) == len(set(names))
    is_device_table = not _MEASURES.isdisjoint(names)
    if not (is_clear and "npu_id" in names and (is_device_table or "pid" in names)):
        found.header, found.fields = (), set()
        found.unread += block
        return
    found.header, found.fields = header, set(names)
    found.unknown += unknown_words(header)
    if is_device_table:
        found.device_fields |= found.fields


def _take_rows(found: _Found, block: list[str]) -> None:
    if not found.header or "pid" in found.fields:
        for line in block:
            _take_process(found, line)
        return
    for start in range(0, len(block), len(found.header)):
        _take_device(found, block[start : start + len(found.header)])


def _take_device(found: _Found, lines: list[str]) -> None:
    """One device from its rows. What a row that does not fit, or is cut off, would have told is not available."""
    values: dict[str, str] = {}
    unread: list[str] = []
    lost: set[str] = set(fields_of(found.header[len(lines) :]))
    for header, line in zip(found.header, lines):
        row = read_row(header, split_cells(line) or [])
        if row is None:
            unread.append(line)
            lost.update(fields_of([header]))
        values.update(row or {})
    if "npu_id" not in values:
        found.unread += lines
        return
    found.unread += unread
    hbm_used, hbm_total = _memory(values, "hbm")
    memory_used, memory_total = _memory(values, "memory")
    found.devices.append(
        _with_unread(
            lost,
            values,
            NpuDevice(
                index=_whole(values.get("index")),
                npu_id=int(values["npu_id"]),
                chip_id=_whole(values.get("chip_id")),
                name=_name(values.get("name")),
                health=values.get("health"),
                power_w=_number(values.get("power_w"), _WATTS),
                temperature_c=_number(values.get("temperature_c"), _CELSIUS),
                utilisation_percent=_number(values.get("utilisation_percent"), _PERCENT),
                hbm_used_mb=hbm_used,
                hbm_total_mb=hbm_total,
                memory_used_mb=memory_used,
                memory_total_mb=memory_total,
            ),
        )
    )


def _with_unread(lost: set[str], values: dict[str, str], device: NpuDevice) -> NpuDevice:
    """Note which of its fields were told, but are impossible or stood in a row that does not fit."""
    told = vars(device)
    impossible = {name for name in values if name in told and told[name] is None and not _is_absent(values, name)}
    return replace(device, unread=tuple(sorted(name for name in lost | impossible if name in told)))


def _is_absent(values: dict[str, str], name: str) -> bool:
    """Of a memory that the board does not have, both numbers are 0."""
    kind = name.partition("_")[0]
    return name in _MEMORIES and _whole(values.get(f"{kind}_total_mb")) == 0


def _take_process(found: _Found, line: str) -> None:
    cells = split_cells(line)
    if cells and (idle := _IDLE.fullmatch(cells[0])):
        found.told.add(int(idle[1]))
        return
    values = read_row(found.header[0], cells) if cells and len(found.header) == 1 else None
    if not values or "npu_id" not in values:
        found.unread.append(line)
        return
    process = NpuProcess(
        pid=_whole(values.get("pid")),
        name=_name(values.get("process_name")),
        memory_mb=_whole(values.get("process_memory_mb")),
        container_pid=_whole(values.get("container_pid")),
    )
    found.running.append(_Running(int(values["npu_id"]), _whole(values.get("chip_id")), process, line))


def _number_devices(found: _Found) -> None:
    """Without a column for it, the NPU id is the device's number, as long as the NPU is a single chip."""
    if "index" in found.device_fields:
        return
    chips = Counter(device.npu_id for device in found.devices)
    found.devices = [replace(d, index=d.npu_id) if chips[d.npu_id] == 1 else d for d in found.devices]


def _place_processes(found: _Found) -> None:
    """Give each process to the one device that its row names.

    A row that names none, or several, stays unread: what runs on that NPU is not known then.
    """
    has_chips = "chip_id" in found.device_fields
    placed: dict[int, list[NpuProcess]] = {position: [] for position in range(len(found.devices))}
    misplaced = set()
    for npu_id, chip_id, process, line in found.running:
        places = [
            position
            for position, device in enumerate(found.devices)
            # layouts of single-chip NPUs leave the chip out
            if device.npu_id == npu_id and (not has_chips or chip_id is None or device.chip_id == chip_id)
        ]
        if len(places) == 1:
            placed[places[0]].append(process)
            found.told.add(npu_id)
        else:
            misplaced.add(npu_id)
            found.unread.append(line)
    for position, device in enumerate(found.devices):
        if device.npu_id in found.told - misplaced:
            found.devices[position] = replace(device, processes=tuple(placed[position]))


def _memory(values: dict[str, str], kind: str) -> tuple[Optional[int], Optional[int]]:
    """Used and total MB. A total of 0 means that the board has no such memory, or does not tell."""
    used, total = _whole(values.get(f"{kind}_used_mb")), _whole(values.get(f"{kind}_total_mb"))
    if total == 0:
        return None, None
    if used is not None and total is not None and used > total:
        return None, total
    return used, total


def _name(text: Optional[str]) -> Optional[str]:
    return neutralise(text or "") or None


def _whole(text: Optional[str]) -> Optional[int]:
    return None if text is None else int(text)


def _number(text: Optional[str], limits: tuple[float, float]) -> Optional[float]:
    """The number as it is printed, whole or not."""
    if text is None:
        return None
    number = float(text) if "." in text else int(text)
    return number if limits[0] <= number <= limits[1] else None
