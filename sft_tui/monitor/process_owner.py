"""Tells whose the processes on the NPUs are: their user, and the sft-tui job that they belong to."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Iterable, Optional

from sft_tui.monitor.snapshot import NpuDevice, NpuProcess
from sft_tui.paths import JOB_MARK

_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_COMM_LENGTH = 15  # proc(5): a longer command name is cut


def name_owners(devices: Iterable[NpuDevice], proc: Path = Path("/proc")) -> tuple[NpuDevice, ...]:
    """The devices, their processes with user and job as far as this process may see them."""
    sees_host = _sees_host(proc)

    def named(device: NpuDevice) -> NpuDevice:
        processes = device.processes
        return (
            device if not processes else replace(device, processes=tuple(_named(p, proc, sees_host) for p in processes))
        )

    return tuple(map(named, devices))


def _sees_host(proc: Path) -> bool:
    try:
        return str((proc / "self/ns/pid").readlink()) == _FIRST_PID_NAMESPACE
    except OSError:
        return False


def _named(process: NpuProcess, proc: Path, sees_host: bool) -> NpuProcess:
    pid = process.pid if sees_host or process.container_pid is None else process.container_pid
    if pid is None:
        return process
    folder = proc / str(pid)
    try:
        comm = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        # inside a container the pids of npu-smi are the host's, and ours may be those of other processes
        if not sees_host and comm != (process.name or "")[:_COMM_LENGTH]:
            return process
        user_id = folder.stat().st_uid
    except OSError:  # in another container, or gone
        return process
    return replace(process, user=_user_name(user_id), job=_job(folder, user_id))


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except (KeyError, OSError):  # a container's user without an account
        return str(user_id)


def _job(folder: Path, user_id: int) -> Optional[str]:
    """The id of its job; empty for a foreign process, None where it is ours and does not tell."""
    try:
        environment = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return None if user_id == os.getuid() else ""
    mark = f"{JOB_MARK}=".encode()
    found = next((entry[len(mark) :] for entry in environment if entry.startswith(mark)), b"")
    return Path(found.decode(errors="replace")).name
