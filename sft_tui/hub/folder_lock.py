"""One download into a folder at a time, also where several machines share the disk.

A folder is made, which is atomic on every disk, and its file is written anew every few seconds. One that was not for a
while, by the disk's own clock, or whose process is gone from this very machine, was left by a killed run.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Tuple

from sft_tui.errors import EnvironmentNotFitError
from sft_tui.paths import boot_id

BEAT_SECONDS = 5.0
DEAD_SECONDS = 30.0
_NAME, _BEAT = "lock", "beat"


class BusyError(EnvironmentNotFitError):
    """Another process downloads into this folder."""


@contextmanager
def folder_lock(work: Path, target: Path) -> Iterator[None]:
    """Hold `work`/lock, for the download into `target`. Raises BusyError with who has it, OSError."""
    lock = work / _NAME
    for _ in range(3):
        try:
            lock.mkdir()
            break
        except FileExistsError:
            who, dead = _look(work, lock)
            if not dead:
                raise BusyError(f"{who} downloads into {target} already.", "Wait for it, or stop it first.") from None
            _remove(work, lock)
    else:
        raise BusyError(f"{lock} comes back again and again.", "Remove it where nothing downloads.")
    ended = threading.Event()
    _beat(lock)
    thread = threading.Thread(target=_keep, args=(lock, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        shutil.rmtree(lock, ignore_errors=True)


def _keep(lock: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):  # a full disk: the time of the file is what counts, and it may come back
            _beat(lock)


def _beat(lock: Path) -> None:
    (lock / _BEAT).write_text(f"{socket.gethostname()} {os.getpid()} {boot_id()}\n", encoding="utf-8")


def _look(work: Path, lock: Path) -> Tuple[str, bool]:
    """Who has it, and whether that one is gone."""
    probe = work / f"now-{os.getpid()}"
    try:
        probe.write_text("", encoding="utf-8")
        now = probe.stat().st_mtime
        beat = lock / _BEAT
        last = (beat if beat.exists() else lock).stat().st_mtime
        words = beat.read_text(encoding="utf-8").split() if beat.exists() else []
    except OSError:
        return "another process", False
    finally:
        with suppress(OSError):
            probe.unlink()
    if len(words) < 2:
        return "another process", now - last > DEAD_SECONDS
    host, pid, boot = words[0], words[1], words[2] if len(words) > 2 else ""
    here = host == socket.gethostname() and (not boot or boot == boot_id())
    gone = here and pid.isdigit() and not Path(f"/proc/{pid}").exists()
    return f"Process {pid} on {host}", gone or now - last > DEAD_SECONDS


def _remove(work: Path, lock: Path) -> None:
    """Out of the way by a name of our own: of two that see a dead one, one gets it."""
    dead = work / f"dead-{os.getpid()}"
    with suppress(OSError):
        lock.rename(dead)
        shutil.rmtree(dead, ignore_errors=True)
