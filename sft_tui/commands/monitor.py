"""monitor: the NPUs and the host, once or again and again, without the wizard."""

from __future__ import annotations

import argparse
import json
import select
import signal
import sys
import time
from pathlib import Path
from typing import Sequence

from sft_tui.commands._common.report import finite, print_json, print_json_text, say
from sft_tui.core.terminal_text import short_size
from sft_tui.monitor.host import HostLoad, HostSampler, measure_disks
from sft_tui.monitor.sample_json import HostSample, describe_sample
from sft_tui.monitor.sampler import HOST_SECONDS, REST_SECONDS, SLOW_SECONDS, Sampler, next_rest
from sft_tui.monitor.shared_npu_smi import look_at_npus
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuSnapshot, NpuTable, NpuUnavailable

_READER_SECONDS = 0.25  # how soon it is noticed that nobody reads any more


def run_monitor(arguments: argparse.Namespace) -> int:
    """`sft-tui monitor`: until Ctrl-C, or once; with --json one object, or without --once a line for each look."""
    paths = [str(Path(path).absolute()) for path in arguments.paths or ["."]]
    if arguments.json and not arguments.once:
        return _stream(paths)
    host, disks = HostSampler(), measure_disks(paths)
    rest = REST_SECONDS / 2
    while True:
        look = look_at_npus()
        sample = HostSample(look.snapshot, host.sample(disks), time.monotonic() - look.asked_at)
        if arguments.json:
            print_json(describe_sample(sample))
        else:
            for line in [*(host_lines(sample.host) if sample.host else []), *npu_lines(sample.npus)]:
                say(line)
        if arguments.once:
            return 0
        say("")
        rest = next_rest(rest, look.snapshot)
        time.sleep(rest)
        disks = measure_disks(paths)


def _stream(paths: Sequence[str]) -> int:
    """A line of JSON for each look, until the reader is gone: then nothing of this is left behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # so that npu-smi is ended as well
    sampler = Sampler(paths)
    try:
        while True:
            deadline = time.monotonic() + HOST_SECONDS
            while not sampler.wait_for_news(_READER_SECONDS) and time.monotonic() < deadline:
                if _reader_is_gone():
                    return 0
            print_json_text(json.dumps(finite(describe_sample(sampler.sample())), ensure_ascii=False))
            sys.stdout.flush()
    finally:
        sampler.close()


def _reader_is_gone() -> bool:
    """The other end of stdout was closed, or died."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll(0))


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
    lines = [f"{'NPU':>4} {'name':10} {'health':8} {'power':>7} {'temp':>5} {'use':>5} {'memory':>17}  processes"]
    lines += [_device_line(device) for device in reading.devices]
    slow = [f"npu-smi took {snapshot.took_seconds:.0f} s"] if snapshot.took_seconds > SLOW_SECONDS else []
    return [*lines, *_remarks(reading), *slow]


def _device_line(device: NpuDevice) -> str:
    number = device.index if device.index is not None else device.npu_id
    used, total = device.main_memory_mb
    memory = f"{_known(used)}/{_known(total)} MB"
    processes = "-" if device.processes is None else ", ".join(map(_process, device.processes)) or "none"
    return (
        f"{number:>4} {device.name or '-':10} {device.health or '-':8} {_known(device.power_w, ' W'):>7} "
        f"{_known(device.temperature_c, ' C'):>5} {_known(device.utilisation_percent, ' %'):>5} {memory:>17}"
        f"  {processes}"
    )


def _process(process: NpuProcess) -> str:
    owner = f"job {process.job}" if process.job else process.user or ""
    words = (_known(process.pid), process.name, _known(process.memory_mb, " MB"), owner)
    return " ".join(word for word in words if word)


def _remarks(table: NpuTable) -> list[str]:
    lines = [] if table.is_whole else ["npu-smi broke off: what follows is missing"]
    if table.unknown_columns:
        lines.append(f"columns that sft-tui does not know, please report them: {', '.join(table.unknown_columns)}")
    if table.unread_lines:
        lines.append(f"{len(table.unread_lines)} lines do not fit their header, and were left out; please report them")
    return lines


def _known(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:g}{unit}"
