"""Hosts and their NPUs in words and characters: ASCII alone, and no meaning by colour alone."""

from __future__ import annotations

from typing import Callable, Final, Iterable, Optional, Sequence, Union

from textual.content import Content

from sft_tui.cluster.node_monitor import JUMP_SECONDS, NodeView
from sft_tui.core.terminal_text import neutralise, short_duration, short_size
from sft_tui.monitor.device_view import (
    HEALTHY,
    CellKind,
    Measure,
    NodeCells,
    StripLayout,
    is_foreign,
    value_state,
)
from sft_tui.monitor.host import HostLoad
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuSnapshot, NpuTable, NpuUnavailable

Part = Union[str, tuple[str, str]]
_STYLES: Final[dict[CellKind, str]] = {
    "ok": "", "stale": "dim", "unavailable": "dim", "foreign": "bold $warning", "bad": "bold reverse",
}  # fmt: skip
_SCALES: Final[dict[Measure, str]] = {
    "use": "0-9 tenths of use",
    "HBM": "0-9 tenths of HBM",
    "temperature": "0-9 from 30 to 90 C",
}
_MARKS: Final = {"unsupported": "-", "unavailable": "?", "no permission": "?"}
NODE_LEGEND: Final = "- not told by this board   ? could not be read   ~ old"


def strip_legend(measure: Measure) -> str:
    """What the characters mean."""
    return f"{_SCALES[measure]}  ! not OK  ~ old  ? not told  x foreign process"


def strip_lines(nodes: Sequence[NodeCells], layout: StripLayout, chosen: Optional[int]) -> list[Content]:
    """One page of hosts, in columns; the `chosen` place is marked."""
    rows = min(layout.rows, len(nodes))
    return [
        Content(" ").join(
            _entry(nodes[number], layout, is_chosen=nodes[number].place == chosen)
            for number in range(row, len(nodes), layout.rows)
        )
        for row in range(rows)
    ]


def _entry(node: NodeCells, layout: StripLayout, *, is_chosen: bool) -> Content:
    name = neutralise(node.name) if layout.shows_names else str(node.place)
    name = name[: layout.name_width].ljust(layout.name_width)
    parts: list[Part] = [(name, "bold reverse") if is_chosen else name, ">" if is_chosen else " "]
    if node.cells:
        parts += _runs(node)
        parts.append(" " * (layout.cell_width - len(node.cells)))
    else:
        note = neutralise(node.note)[: layout.cell_width].ljust(layout.cell_width)
        parts.append((note, "$warning" if node.is_quiet else "dim"))
    return Content.assemble(*parts)


def _runs(node: NodeCells) -> Iterable[tuple[str, str]]:
    """The cells, those of one kind together: fewer escape codes go over the line."""
    text, kind = "", node.cells[0].kind
    for cell in node.cells:
        if cell.kind != kind:
            yield text, _STYLES[kind]
            text, kind = "", cell.kind
        text += cell.sign
    yield text, _STYLES[kind]


def strip_summary(nodes: Sequence[NodeCells]) -> Content:
    """All hosts in a few words."""
    cells = [cell for node in nodes for cell in node.cells]
    counts = {kind: sum(cell.kind == kind for cell in cells) for kind in _STYLES}
    quiet = sum(node.is_quiet for node in nodes)
    parts: list[Part] = [f"{len(nodes)} hosts, {len(cells)} NPUs"]
    if counts["bad"]:
        parts.append((f"  {counts['bad']} not OK", "bold $error"))
    if quiet:
        parts.append((f"  {quiet} hosts quiet", "$warning"))
    if counts["foreign"]:
        parts.append((f"  {counts['foreign']} with foreign processes", "$warning"))
    return Content.assemble(*parts)


def sample_age(view: NodeView, now: float) -> str:
    """How old the newest sample is, and how long npu-smi took for it."""
    if view.sample is None:
        return "no sample yet"
    took = f"took {view.sample.npus.took_seconds:.1f} s"
    return f"sample {short_duration(view.age(now))} old, {took}"


def brief_node(view: NodeView, now: float) -> Content:
    """The host under the cursor in one line."""
    parts: list[Part] = [(f"{view.place} {neutralise(view.name)}", "bold"), f"  {sample_age(view, now)}"]
    if view.problem:
        parts.append((f"  {neutralise(view.problem).removeprefix(f'{view.name}: ')}", "$warning"))
    return Content.assemble(*parts)


def node_lines(view: NodeView, now: float) -> list[Content]:
    """All that is known of one host."""
    lines = [Content.styled(sample_age(view, now), "bold")]
    lines += [Content.styled(neutralise(text), "$warning") for text in (view.problem, *_clock_remarks(view)) if text]
    if view.sample is None:
        return lines
    if view.sample.host is not None:
        lines += _host_lines(view.sample.host)
    snapshot, age = view.sample.npus, view.age(now)
    if isinstance(snapshot.reading, NpuUnavailable):
        return lines + _unavailable_lines(snapshot.reading)
    lines += [Content(""), _heading()]
    for device in snapshot.reading.devices:
        lines.append(_device_line(snapshot, device, age))
        lines += [_process_line(process) for process in device.processes or ()]
    return lines + [Content.styled(text, "$warning") for text in _table_remarks(snapshot.reading)]


def _clock_remarks(view: NodeView) -> Iterable[str]:
    if abs(view.clock_jumped) > JUMP_SECONDS:
        yield f"a clock jumped by {short_duration(abs(view.clock_jumped))}; ages are measured without it"
    if abs(view.clock_ahead) > JUMP_SECONDS:
        side = "ahead of" if view.clock_ahead > 0 else "behind"
        yield f"its clock is {short_duration(abs(view.clock_ahead))} {side} that of this host"


def _host_lines(host: HostLoad) -> list[Content]:
    memory = f"{short_size(host.memory_used)} of {short_size(host.memory_total)}"
    lines = [f"host  {host.cpu_percent:.0f} % of {host.cores} cores  load {host.load_1min:.1f}  memory {memory}"]
    if host.received_per_second is not None and host.sent_per_second is not None:
        rates = (short_size(rate) for rate in (host.received_per_second, host.sent_per_second))
        lines.append("net   in {}/s  out {}/s".format(*rates))
    lines += [
        f"disk  {short_size(disk.free)} free of {short_size(disk.total)}  {neutralise(disk.path)}"
        for disk in host.disks
    ]
    return [Content(line) for line in lines]


def _unavailable_lines(reading: NpuUnavailable) -> list[Content]:
    if reading.state == "no npu-smi":
        return [Content.styled("no NPU: the host alone, for there is no npu-smi on its PATH", "dim")]
    if reading.state == "unknown layout":
        lines = ["NPUs  layout not known, please report it with this header and the version of the driver:"]
    else:
        lines = [f"NPUs  {reading.reason}", reading.hint]
    return [Content(neutralise(line)) for line in (*lines, *reading.text.splitlines())]


def _table_remarks(table: NpuTable) -> Iterable[str]:
    if not table.is_whole:
        yield "npu-smi broke off: what follows is missing"
    if table.unknown_columns:
        yield neutralise(f"layout not known in part, please report: {', '.join(table.unknown_columns)}")
    if table.unread_lines:
        yield f"{len(table.unread_lines)} lines do not fit their header and were left out; please report"


def _heading() -> Content:
    words = ("NPU", "name", "health", "use", "HBM MB", "temp", "power", "processes")
    return Content.styled("{:>4} {:10} {:8} {:>6} {:>14} {:>7} {:>9}  {}".format(*words), "bold")


def _device_line(snapshot: NpuSnapshot, device: NpuDevice, age: float) -> Content:
    def value(field: str, text: str) -> str:
        state = value_state(snapshot, device, field, age)
        return _MARKS.get(state) or (f"{text}~" if state == "stale" else text)

    number = device.index if device.index is not None else f"{device.npu_id}.{device.chip_id or 0}"
    left = f"{number:>4} {value('name', device.name or '')[:10]:10} "
    health = f"{value('health', device.health or '')[:8]:8}"
    figures = (
        f" {value('utilisation_percent', f'{device.utilisation_percent or 0:.0f} %'):>6} {_memory(value, device):>14}"
        f" {value('temperature_c', f'{device.temperature_c or 0:.0f} C'):>7}"
        f" {value('power_w', f'{device.power_w or 0:.1f} W'):>9}  "
    )
    is_bad = device.health is not None and device.health != HEALTHY
    running = value("processes", str(len(device.processes or ())) if device.processes else "none")
    foreign = ("  x foreign", "bold $warning") if is_foreign(device) else ""
    return Content.assemble(left, (health, "bold reverse" if is_bad else ""), figures, running, foreign)


def _memory(value: Callable[[str, str], str], device: NpuDevice) -> str:
    """HBM used and total; of a board without HBM its DDR."""
    kind = "memory" if device.hbm_total_mb is None and device.memory_total_mb is not None else "hbm"
    used, total = (value(name, str(getattr(device, name))) for name in (f"{kind}_used_mb", f"{kind}_total_mb"))
    return f"{used}/{total}"


def _process_line(process: NpuProcess) -> Content:
    pid = "?" if process.pid is None else str(process.pid)
    memory = "? MB" if process.memory_mb is None else f"{process.memory_mb} MB"
    words = f"       {pid:>8}  {process.user or '?':10} {process.name or '?':16} {memory:>9}  "
    if process.job:
        return Content.assemble(neutralise(words), f"ours: job {neutralise(process.job)}")
    if process.job is None:
        return Content.assemble(neutralise(words), ("whose is not told", "dim"))
    return Content.assemble(neutralise(words), ("x foreign", "bold $warning"))
