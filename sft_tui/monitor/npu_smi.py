"""Asks `npu-smi info` how the NPUs of this host are: one call, one snapshot, and a reason when there is nothing."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

from sft_tui.core.terminal_text import neutralise
from sft_tui.monitor.npu_smi_table import read_table
from sft_tui.monitor.short_run import ShortRun, run_short
from sft_tui.monitor.snapshot import NpuReading, NpuSnapshot, NpuTable, NpuUnavailable, UnavailableState
from sft_tui.paths import find_executable

_MOST_LINES = 20  # of what npu-smi printed, when it has to be shown as it is
_MOST_COLUMNS = 200

# What npu-smi says when it cannot answer: its words, then state, reason and hint.
_FAILURES: tuple[tuple[str, UnavailableState, str, str], ...] = (
    (
        r"ret(?: is| =|=|:)? ?-8005\b",
        "no permission",
        "npu-smi may not use the driver (code -8005)",
        "Put this user into the group HwHiAiUser (`usermod -aG HwHiAiUser NAME`) and log in again. In a container: "
        "start it with the devices (/dev/davinci*, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc).",
    ),
    (
        r"ret(?: is| =|=|:)? ?-8020\b",
        "in use",
        "another container uses the devices (code -8020)",
        "Stop that container, or start this one with devices that no other has.",
    ),
    (
        r"error while loading shared libraries: (?P<what>[^\s:]+)",
        "missing library",
        "npu-smi did not find the driver's library {what}",
        "Put the driver's folders lib64/driver and lib64/common on LD_LIBRARY_PATH; in a container, mount the "
        "host's driver folder as well.",
    ),
    (
        r"(?i)permission denied",
        "no permission",
        "npu-smi was denied permission",
        "Put this user into the group HwHiAiUser and log in again.",
    ),
    (
        r"ret(?: is| =|=|:)? ?(?P<what>-[0-9]{1,9})\b",
        "failed",
        "npu-smi failed with code {what}",
        "Run `npu-smi info` by hand; if it says the same, the driver needs the administrator.",
    ),
)


DEADLINE_SECONDS = 15.0


def sample_npus(
    deadline_seconds: float = DEADLINE_SECONDS,
    *,
    keep_open: tuple[int, ...] = (),
    is_given_up: Callable[[], bool] = lambda: False,
) -> NpuSnapshot:
    """Run `npu-smi info` once and wait at most that long. Never raises: the reading says why there is none.

    `keep_open` and `is_given_up` are those of `run_short`.
    """
    taken_at = time.time()
    begun = time.monotonic()
    reading = _ask(deadline_seconds, keep_open, is_given_up)
    return NpuSnapshot(taken_at=taken_at, took_seconds=time.monotonic() - begun, reading=reading)


def parse_npu_smi_info(text: str) -> NpuReading:
    """Read what `npu-smi info` printed, of every known layout, by its header words. Never raises.

    Another layout gives state `unknown layout`, with its header as `text`.
    """
    # as it is: without an escape sequence in its middle, two halves would become a number that nobody printed
    table = read_table(text)
    if table is not None and table.devices:
        return table
    text = neutralise(text)
    for pattern, state, reason, hint in _FAILURES:
        if match := re.search(pattern, text):
            return NpuUnavailable(state, reason.format(**match.groupdict()), hint, _shown(text))
    if table is not None:
        return table
    if not text.strip():
        return NpuUnavailable("failed", "npu-smi printed nothing", "Run `npu-smi info` by hand.")
    if not re.search(r"(?m)^[ \t]*[|+]", text):
        return NpuUnavailable("failed", "npu-smi printed no table", "Run `npu-smi info` by hand.", _shown(text))
    return NpuUnavailable(
        "unknown layout",
        "this layout of npu-smi is not known",
        "Please report it, with the header below and the version of the driver.",
        _header_text(text),
    )


def _ask(deadline_seconds: float, keep_open: tuple[int, ...], is_given_up: Callable[[], bool]) -> NpuReading:
    program = find_executable("npu-smi")
    if not program:
        return NpuUnavailable(
            "no npu-smi",
            "there is no npu-smi on PATH",
            "On a host with NPUs, install the Ascend driver; in a container, mount npu-smi and the driver's folder.",
        )
    try:
        argv = [str(Path(program).absolute()), "info"]
        run = run_short(argv, deadline_seconds, keep_open=keep_open, is_given_up=is_given_up)
    except OSError as problem:
        return NpuUnavailable("failed", f"{program} could not be started: {problem.strerror}", "Install it again.")
    if run.stopped:
        return _stopped(run, deadline_seconds)
    return _reading_of(run)


def _reading_of(run: ShortRun) -> NpuReading:
    reading = parse_npu_smi_info(run.out)
    if run.err.strip() and not (isinstance(reading, NpuTable) and reading.devices):
        reading = parse_npu_smi_info(f"{run.out}\n{run.err}")
    if run.exit_code == 0:
        return reading
    if isinstance(reading, NpuTable):
        # one that failed may have printed less than there is, up to a rule
        return replace(reading, is_whole=False)
    if reading.state == "failed":
        return replace(reading, reason=f"{reading.reason} (exit code {run.exit_code})")
    return reading


def _stopped(run: ShortRun, deadline_seconds: float) -> NpuUnavailable:
    if run.stopped == "flood":
        reason, hint = "npu-smi printed far more than a table", "Run `npu-smi info` by hand."
    else:
        reason = f"npu-smi did not answer within {deadline_seconds:g} s"
        hint = "A busy node may be slow; if it stays so, the driver hangs: run `npu-smi info` by hand."
    if run.left_running is not None:
        reason += f" and could not be killed (pid {run.left_running})"
    return NpuUnavailable("no answer", reason, hint, _shown(run.out or run.err), run.left_running)


def _header_text(text: str) -> str:
    """Up to the double rule under the header, or as much as can be shown."""
    lines = text.splitlines()
    ends = [number for number, line in enumerate(lines) if line.strip().startswith("+=")]
    return _shown("\n".join(lines[: ends[0] + 1] if ends else lines))


def _shown(text: str) -> str:
    lines = [line.rstrip()[:_MOST_COLUMNS] for line in neutralise(text[:100_000]).splitlines() if line.strip()]
    return "\n".join(lines[:_MOST_LINES])
