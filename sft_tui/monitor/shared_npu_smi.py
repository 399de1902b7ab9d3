"""Calls npu-smi one at a time for each user of a host, and shares what it said with the others.

npu-smi inherits the lock of its turn: as long as one lives, whoever called it, no other is called. Ages go by the
receiver's steady clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Final, Optional

from sft_tui.files.runtime_folder import make_runtime_folder
from sft_tui.files.whole_file import write_private
from sft_tui.monitor.npu_smi import DEADLINE_SECONDS, sample_npus
from sft_tui.monitor.process_owner import name_owners
from sft_tui.monitor.sample_json import HostSample, describe_sample, parse_sample
from sft_tui.monitor.snapshot import NpuSnapshot, NpuTable, NpuUnavailable
from sft_tui.paths import boot_id, find_executable

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Look:
    """A snapshot, and when it was asked for by the steady clock of this host."""

    snapshot: NpuSnapshot
    asked_at: float


def look_at_npus(
    max_age: float = 0.0,
    deadline_seconds: float = DEADLINE_SECONDS,
    is_given_up: Callable[[], bool] = lambda: False,
) -> Look:
    """A snapshot that is at most that old, with the owners of its processes. Never raises.

    Waits for an npu-smi that another process of this user has called; where that hangs, none is called beside it.
    """
    begun = time.monotonic()
    program = find_executable("npu-smi")
    folder = _private_folder() if program else None
    if folder is None:
        return _ask(deadline_seconds, (), is_given_up)
    shared = _SharedLook(folder, program)
    try:
        descriptor = os.open(shared.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a full or read-only disk
        return _ask(deadline_seconds, (), is_given_up)
    try:
        while not _locked(descriptor):
            # somebody asks; an answer to a question after ours will do as well
            if (theirs := shared.load(since=begun - max_age)) is not None:
                return theirs
            if is_given_up() or time.monotonic() > begun + deadline_seconds:
                return Look(_still_waiting(begun), begun)
            time.sleep(_POLL_SECONDS)
        if (theirs := shared.load(since=begun - max_age)) is not None:
            return theirs
        # npu-smi inherits the lock: as long as one lives, whoever called it, no other is called
        look = _ask(max(1.0, deadline_seconds), (descriptor,), is_given_up)
        shared.save(look)
        reading = look.snapshot.reading
        if not (isinstance(reading, NpuUnavailable) and reading.left_running):
            # npu-smi has ended: what it may have started has the lock as well, and does not count
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return look
    finally:
        os.close(descriptor)


def _ask(deadline_seconds: float, keep_open: tuple[int, ...], is_given_up: Callable[[], bool]) -> Look:
    begun = time.monotonic()
    snapshot = sample_npus(deadline_seconds, keep_open=keep_open, is_given_up=is_given_up)
    if isinstance(snapshot.reading, NpuTable):
        snapshot = replace(snapshot, reading=replace(snapshot.reading, devices=name_owners(snapshot.devices)))
    return Look(snapshot, begun)


def _still_waiting(begun: float) -> NpuSnapshot:
    took = time.monotonic() - begun
    reason = "an npu-smi that was called before has not ended"
    hint = "If it stays so, the driver hangs: `pgrep -a npu-smi` shows it."
    return NpuSnapshot(time.time() - took, took, NpuUnavailable("no answer", reason, hint))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class _SharedLook:
    """The newest look of this user on this host, in a file; of another container's nothing is taken."""

    def __init__(self, folder: Path, program: str) -> None:
        try:
            space = (Path("/proc/self/ns/pid").readlink().name).strip("pid:[]")
        except OSError:
            space = "0"
        self.lock = folder / f"npu-smi-{space}.lock"
        self._file = folder / f"npu-smi-{space}.json"
        self._of = [program, boot_id()]

    def load(self, since: float) -> Optional[Look]:
        """The newest, if it was asked for after that time of the steady clock."""
        try:
            data = json.loads(self._file.read_bytes())
            asked_at = float(data["asked_at"])
            if data["of"] != self._of or not since <= asked_at <= time.monotonic():
                return None
            sample = parse_sample(data["sample"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return None if sample is None else Look(sample.npus, asked_at)

    def save(self, look: Look) -> None:
        """Put it there for the others; where that fails, they ask themselves."""
        data = {"of": self._of, "asked_at": look.asked_at, "sample": describe_sample(HostSample(look.snapshot, None))}
        with contextlib.suppress(OSError):
            write_private(self._file, json.dumps(data), lasting=False)


def _private_folder() -> Optional[Path]:
    """A folder of this user on this host; None where there can be none."""
    try:
        return make_runtime_folder()
    except OSError:
        return None
