"""monitor: the NPUs and the host, once or again and again, without the wizard."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from sft_tui.commands.report import print_json, print_json_text, say
from sft_tui.core.terminal_text import short_size
from sft_tui.monitor.host import HostLoad, sample_host
from sft_tui.monitor.npu_smi import sample_npus
from sft_tui.monitor.snapshot import NpuDevice, NpuSnapshot, NpuTable, NpuUnavailable

REST_SECONDS = 2.0  # npu-smi takes 1.2 s of a core's time, and more on a busy node


def run_monitor(arguments: argparse.Namespace) -> int:
    """`sft-tui monitor`: until Ctrl-C, or once; with --json one object, or without --once a line for each look."""
    folder = str(Path.cwd())
    sample_host(folder)  # the load of the processor is that since the look before
    while True:
        snapshot, host = sample_npus(), sample_host(folder)
        if not arguments.json:
            for line in [*host_lines(host), *npu_lines(snapshot)]:
                say(line)
        elif arguments.once:
            print_json(_as_data(snapshot, host))
        else:
            print_json_text(json.dumps(_as_data(snapshot, host), ensure_ascii=False))
            sys.stdout.flush()
        if arguments.once:
            return 0
        if not arguments.json:
            say("")
        time.sleep(REST_SECONDS)


def _as_data(snapshot: NpuSnapshot, host: HostLoad) -> dict[str, object]:
    reading = snapshot.reading
    missing = reading if isinstance(reading, NpuUnavailable) else None
    return {
        "taken_at": snapshot.taken_at,
        "took_seconds": round(snapshot.took_seconds, 3),
        "host": asdict(host),
        "devices": [asdict(device) for device in snapshot.devices],
        "npu_smi": None
        if missing is None
        else {"state": missing.state, "reason": missing.reason, "hint": missing.hint},
    }


def host_lines(host: HostLoad) -> list[str]:
    """The host in one line."""
    memory = f"{short_size(host.memory_used)} of {short_size(host.memory_total)}"
    return [
        f"host: {host.cpu_percent:.0f} % of {host.cores} cores, load {host.load_1min:.1f}, memory {memory}, "
        f"{short_size(host.disk_free)} free on this disk"
    ]


def npu_lines(snapshot: NpuSnapshot) -> list[str]:
    """A line for each NPU; what cannot be read is a dash, and never a zero."""
    reading = snapshot.reading
    if isinstance(reading, NpuUnavailable):
        return [str(reading), *([reading.text] if reading.text else [])]
    lines = [f"{'NPU':>4} {'name':10} {'health':8} {'power':>7} {'temp':>5} {'use':>5} {'HBM':>17}  processes"]
    lines += [_device_line(device) for device in reading.devices]
    return lines + _remarks(reading)


def _device_line(device: NpuDevice) -> str:
    number = device.index if device.index is not None else device.npu_id
    hbm = f"{_known(device.hbm_used_mb)}/{_known(device.hbm_total_mb)} MB"
    processes = "-" if device.processes is None else ", ".join(
        f"{_known(p.pid)} {p.name or ''} {_known(p.memory_mb, ' MB')}" for p in device.processes
    ) or "none"  # fmt: skip
    return (
        f"{number:>4} {device.name or '-':10} {device.health or '-':8} {_known(device.power_w, ' W'):>7} "
        f"{_known(device.temperature_c, ' C'):>5} {_known(device.utilisation_percent, ' %'):>5} {hbm:>17}  {processes}"
    )


def _remarks(table: NpuTable) -> list[str]:
    lines = [] if table.is_whole else ["npu-smi broke off: what follows is missing"]
    if table.unknown_columns:
        lines.append(f"columns that sft-tui does not know, please report them: {', '.join(table.unknown_columns)}")
    if table.unread_lines:
        lines.append(f"{len(table.unread_lines)} lines do not fit their header, and were left out; please report them")
    return lines


def _known(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:g}{unit}"
