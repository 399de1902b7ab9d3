"""Jobs: at a random moment something is done to their processes and files; then they are stopped, listed, removed."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

from sft_tui.commands import jobs as jobs_command
from sft_tui.core.plan import Plan, Step
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs import client
from sft_tui.jobs.leftovers import look_again, marked
from sft_tui.jobs.read_state import is_supervised
from sft_tui.jobs.supervisor_process import find_supervisor
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import JobFolder
from tests.benchmarks.attack.frame import Frame

LOSS = "Epoch:[  1/  9], step:[    1/   99], loss: 1.0, per_step_time: 5ms"
SCRIPTS = {
    "quiet": "sleep 0.3", "long": "sleep 600", "deaf": "trap '' TERM; while :; do sleep 0.1; done",
    "flood": f"yes '{LOSS}' | head -c 80000000; sleep 600",
    "failing flood": f"yes '{LOSS}' | head -c 80000000; exit 2",
    "orphans": "setsid sleep 600 & setsid sleep 600 & sleep 0.2",
}  # fmt: skip
STOP_SECONDS = 5.0


def _signal_supervisor(folder: JobFolder, number: int) -> None:
    found = find_supervisor(folder)
    if found is not None:
        os.kill(found.pid, number)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink(missing_ok=True)
    make(path)


def _deeds() -> dict[str, Callable[[JobFolder], object]]:
    def on(name: str, make: Callable[[Path], object]) -> Callable[[JobFolder], object]:
        return lambda folder: _replace(folder.path / name, make)

    deeds: dict[str, Callable[[JobFolder], object]] = {
        "kill the supervisor": lambda folder: _signal_supervisor(folder, signal.SIGKILL),
        "halt the supervisor": lambda folder: _signal_supervisor(folder, signal.SIGSTOP),
        "nothing": lambda folder: None,
    }
    for name in ("state.json", "spec.json", "events.jsonl", "metrics.jsonl", "logs/one.log"):
        deeds[f"remove {name}"] = on(name, lambda path: None)
        deeds[f"a FIFO for {name}"] = on(name, os.mkfifo)
        deeds[f"a folder for {name}"] = on(name, Path.mkdir)
        deeds[f"garbage in {name}"] = on(name, lambda path: path.write_bytes(os.urandom(4096)))
        deeds[f"1e300 in {name}"] = on(name, lambda path: path.write_text('{"submitted_at": 1e300, "time": 1e300}\n'))
    return deeds


def attack(frame: Frame) -> None:
    deeds = _deeds()
    for number in range(frame.rounds):
        kind, deed = frame.chance.choice(sorted(SCRIPTS)), frame.chance.choice(sorted(deeds))
        about = f"{deed}, {kind}"
        work = frame.folder / f"work{number}"
        work.mkdir()
        steps = [Step(id=name, title=name, argv=("sh", "-c", SCRIPTS[kind]), cwd=str(work)) for name in ("one", "two")]
        plan = Plan(profile=f"p{number}", steps=tuple(steps))
        folder = client.submit(jobs_dir(), plan, stop_grace_seconds=0.5)
        time.sleep(frame.chance.uniform(0, 1.0))
        with frame.trial("done", about=about):
            deeds[deed](folder)
        with frame.trial("stopped", about=about, within=STOP_SECONDS):
            _stop(folder)
        with frame.trial("nothing runs", about=about):
            look_again()
            left = marked(folder.path)
            assert not left, left
        with frame.trial("listed", about=about):
            _call("list", json=False)
        with frame.trial("another job may start", about=about):
            client.stop(client.submit(jobs_dir(), plan, stop_grace_seconds=0.5), at_once=True)
        with frame.trial("removed", about=about):
            os.utime(folder.path, (1e9, 1e9))
            _call("rm", ids=[folder.id], finished=False, yes=True, json=True)
            assert not folder.path.exists()
        _clean(folder)


def _stop(folder: JobFolder) -> None:
    client.stop(folder, at_once=True)
    deadline = time.monotonic() + STOP_SECONDS
    while is_supervised(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_supervised(folder), "still supervised"


def _call(command: str, **options: object) -> None:
    call = {"list": jobs_command.list_all, "rm": jobs_command.rm}[command]
    with contextlib.redirect_stdout(io.StringIO()):
        assert call(argparse.Namespace(**options)) == 0


def _clean(folder: JobFolder) -> None:
    """Whatever held or not, no process of ours stays."""
    with contextlib.suppress(SftError, InvalidInputError, OSError):
        client.stop(folder, at_once=True)
    for _ in range(50):
        look_again()
        if not (left := marked(folder.path)):
            return
        for process in left:
            subprocess.run(["kill", "-9", str(process.pid)], check=False, stderr=subprocess.DEVNULL)
        time.sleep(0.1)
