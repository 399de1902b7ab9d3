"""Writes samples as lines of JSON, and reads them again, whoever wrote them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Final, Mapping, Optional, get_args

from sft_tui.core.terminal_text import neutralise
from sft_tui.monitor.host import DiskSpace, HostLoad
from sft_tui.monitor.snapshot import (
    NpuDevice,
    NpuProcess,
    NpuReading,
    NpuSnapshot,
    NpuTable,
    NpuUnavailable,
    UnavailableState,
)

SCHEMA_VERSION: Final = 1
LONGEST_LINE: Final = 4_000_000  # 64 chips with all their processes are below 200 kB
_MOST_ITEMS: Final = 1024
_MOST_CHARACTERS: Final = 5000
_STATES: Final[Mapping[str, UnavailableState]] = {state: state for state in get_args(UnavailableState)}
_ASKED: Final = NpuUnavailable("asked", "npu-smi has not answered yet", "A busy node takes some seconds.")


@dataclass(frozen=True)
class HostSample:
    """One look at a host. `age_seconds`: of its NPU snapshot when this was sent, by that host's steady clock."""

    npus: NpuSnapshot
    host: Optional[HostLoad]
    age_seconds: float = 0.0


def not_asked_yet(now: float) -> NpuSnapshot:
    """What is told before the first answer."""
    return NpuSnapshot(taken_at=now, took_seconds=0.0, reading=_ASKED)


def describe_sample(sample: HostSample) -> dict[str, object]:
    """The sample as JSON data: the form of `monitor --json`."""
    reading = sample.npus.reading
    missing = reading if isinstance(reading, NpuUnavailable) else None
    table = reading if isinstance(reading, NpuTable) else None
    return {
        "schema_version": SCHEMA_VERSION,
        "taken_at": sample.npus.taken_at,
        "took_seconds": round(sample.npus.took_seconds, 3),
        "age_seconds": round(sample.age_seconds, 3),
        "host": None if sample.host is None else asdict(sample.host),
        "devices": [asdict(device) for device in sample.npus.devices],
        "npu_smi": None if missing is None else asdict(missing),
        "driver": table and table.version,
        "is_whole": table and table.is_whole,
        "unknown_columns": table and table.unknown_columns,
        "unread_lines": table and table.unread_lines,
    }


def parse_line(line: bytes) -> Optional[HostSample]:
    """The sample in a line; None for what is none, as a login file may print. Never raises.

    What does not fit is left out: a value of another type is not available.
    """
    if len(line) > LONGEST_LINE:
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return parse_sample(data)


def parse_sample(data: object) -> Optional[HostSample]:
    """The sample in JSON data, or None."""
    values = _object(data)
    taken_at = _number(values.get("taken_at"))
    if taken_at is None or "devices" not in values:
        return None
    took, age = (_number(values.get(name)) or 0.0 for name in ("took_seconds", "age_seconds"))
    snapshot = NpuSnapshot(taken_at, max(0.0, took), _parse_reading(values))
    return HostSample(snapshot, _parse_host(values.get("host")), max(0.0, age))


def _parse_reading(values: Mapping[str, object]) -> NpuReading:
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        hint = "Install the same version on all hosts."
        return NpuUnavailable("failed", "the sft-tui there is of another version", hint)
    if values.get("npu_smi") is not None:
        told = _object(values["npu_smi"])
        state = _STATES.get(str(told.get("state")), "failed")
        reason, hint, text = (_text(told.get(name)) or "" for name in ("reason", "hint", "text"))
        return NpuUnavailable(
            state, reason or "its host does not say why", hint, text, _whole(told.get("left_running"))
        )
    return NpuTable(
        version=_text(values.get("driver")),
        devices=tuple(d for item in _list(values["devices"]) if (d := _parse_device(_object(item))) is not None),
        is_whole=values.get("is_whole") is not False,
        unknown_columns=_texts(values.get("unknown_columns")),
        unread_lines=_texts(values.get("unread_lines")),
    )


def _parse_device(values: Mapping[str, object]) -> Optional[NpuDevice]:
    npu_id = _whole(values.get("npu_id"))
    if npu_id is None:
        return None
    processes = values.get("processes")
    return NpuDevice(
        index=_whole(values.get("index")),
        npu_id=npu_id,
        chip_id=_whole(values.get("chip_id")),
        name=_text(values.get("name")),
        health=_text(values.get("health")),
        processes=tuple(_parse_process(_object(p)) for p in _list(processes)) if isinstance(processes, list) else None,
        unread=_texts(values.get("unread")),
        power_w=_number(values.get("power_w")),
        temperature_c=_number(values.get("temperature_c")),
        utilisation_percent=_number(values.get("utilisation_percent")),
        hbm_used_mb=_whole(values.get("hbm_used_mb")),
        hbm_total_mb=_whole(values.get("hbm_total_mb")),
        memory_used_mb=_whole(values.get("memory_used_mb")),
        memory_total_mb=_whole(values.get("memory_total_mb")),
    )


def _parse_process(values: Mapping[str, object]) -> NpuProcess:
    return NpuProcess(
        pid=_whole(values.get("pid")),
        name=_text(values.get("name")),
        memory_mb=_whole(values.get("memory_mb")),
        container_pid=_whole(values.get("container_pid")),
        user=_text(values.get("user")),
        job=_text(values.get("job")),
    )


def _parse_host(data: object) -> Optional[HostLoad]:
    values = _object(data)
    numbers = {f.name: _number(values.get(f.name)) for f in fields(HostLoad) if f.name != "disks"}
    rates = {name: numbers.pop(name) for name in ("received_per_second", "sent_per_second")}
    if any(value is None for value in numbers.values()):
        return None
    known = {name: value for name, value in numbers.items() if value is not None}
    return HostLoad(
        cpu_percent=known["cpu_percent"],
        load_1min=known["load_1min"],
        cores=int(known["cores"]),
        memory_used=int(known["memory_used"]),
        memory_total=int(known["memory_total"]),
        disk_free=int(known["disk_free"]),
        disks=tuple(d for item in _list(values.get("disks")) if (d := _parse_disk(_object(item))) is not None),
        **rates,
    )


def _parse_disk(values: Mapping[str, object]) -> Optional[DiskSpace]:
    path, free, total = _text(values.get("path")), _whole(values.get("free")), _whole(values.get("total"))
    return None if path is None or free is None or total is None else DiskSpace(path, free, total)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value[:_MOST_ITEMS] if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for item in _list(value) if (text := _text(item)) is not None)


def _text(value: object) -> Optional[str]:
    return neutralise(value[:_MOST_CHARACTERS]) if isinstance(value, str) else None


def _number(value: object) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e18 or not math.isfinite(value):
        return None
    return value


def _whole(value: object) -> Optional[int]:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None
