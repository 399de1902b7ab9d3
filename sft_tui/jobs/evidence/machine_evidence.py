"""What the machine did to a step that ended badly: killed for memory, or left without room on a disk.

Sources, from the surest: the `oom_kill` counter of our cgroup (cgroup v2 `memory.events`, v1 `memory.oom_control`), the
kernel log where it may be read, and the machine's own counter in `/proc/vmstat`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Iterable, Optional

CGROUP_ROOT = Path("/sys/fs/cgroup")
FULL_BYTES = 1 << 20  # less room than this: full
_KILLED = re.compile(r"(?:Out of memory|Memory cgroup out of memory): Killed process (\d+) \(([^)]*)\)")
MEMORY_HINT = "Give it less to hold (batch size, sequence length, workers) or more memory."


class MemoryKills:
    """Counts processes that the kernel killed for want of memory since this was made."""

    def __init__(
        self, cgroup_root: Path = CGROUP_ROOT, proc: Path = Path("/proc"), log: Path = Path("/dev/kmsg")
    ) -> None:
        self._cgroup = _find_counter(cgroup_root, proc)
        self._vmstat = proc / "vmstat"
        self._before = self._counts()
        self._log = _open_at_end(log)

    def close(self) -> None:
        """Let go of the kernel log."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    @property
    def in_our_cgroup(self) -> bool:
        """There was one among the processes of our cgroup: the step's, and others of its session or container."""
        return self._counts()[0] > self._before[0]

    def describe(self) -> str:
        """What is known of such kills since then, or an empty string."""
        ours, machine = (now - before for now, before in zip(self._counts(), self._before))
        named = [f"process {pid} ({name})" for pid, name in self._read_log()]
        if ours > 0:
            return f"the kernel killed {_processes(ours)} of its cgroup for memory{_names(named)}"
        if machine > 0:
            return f"the kernel killed {_processes(machine)} of this machine for memory{_names(named)}"
        return ""

    def _counts(self) -> tuple[int, int]:
        return _count(self._cgroup), _count(self._vmstat)

    def _read_log(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while self._log is not None:
            try:
                record = os.read(self._log, 8192)
            except BlockingIOError:  # its end
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # records were overwritten before we read them
                    continue
                break
            if not record:
                break
            if match := _KILLED.search(record.decode("utf-8", errors="replace")):
                found.append((match[1], match[2]))
        return found


def _processes(count: int) -> str:
    return "a process" if count == 1 else f"{count} processes"


def _names(named: list[str]) -> str:
    return f": {', '.join(named)}" if named else ""


def _find_counter(root: Path, proc: Path) -> Optional[Path]:
    """The file with the counter of the cgroup that this process, and so all of its steps, is in."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:  # hierarchy id, controllers, path; v2 has neither id nor controllers
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            # inside a container the path is the host's, and the mount its own root
            found = [root / "memory" / path.lstrip("/") / "memory.oom_control", root / "memory" / "memory.oom_control"]
        elif not controllers:
            found = [base / path.lstrip("/") / "memory.events" for base in (root, root / "unified")]
        else:
            continue
        for file in found:
            if file.is_file():
                return file
    return None


def _count(file: Optional[Path]) -> int:
    if file is not None:
        with contextlib.suppress(OSError):
            for line in file.read_text(encoding="ascii", errors="replace").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill" and value.isdecimal():
                    return int(value)
    return 0


def _open_at_end(log: Path) -> Optional[int]:
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # kept from ordinary users, or not there
        return None
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def full_disk(paths: Iterable[str]) -> str:
    """The first of these places, or the nearest folder above it, that has no room; else an empty string."""
    for path in paths:
        place = Path(path)
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            status = os.statvfs(place)
        except OSError:
            continue
        # a file system without a count of files says 0 of 0
        if status.f_bavail * status.f_frsize < FULL_BYTES or (status.f_files and not status.f_favail):
            return str(place)
    return ""
