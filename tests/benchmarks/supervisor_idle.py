"""What a supervisor costs while its step runs: `python -m tests.benchmarks.supervisor_idle [SECONDS]`.

Prints CPU time over 60 s as a share of one core, and resident memory, beside the limits that we set ourselves; the same
for a job that waits in the queue.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil

from sft_tui.core.plan import Plan, Step
from sft_tui.jobs import client
from sft_tui.store.job_store import JobFolder

LIMIT_PERCENT, LIMIT_MB = 0.2, 40


def main(seconds: float) -> None:
    """Start two jobs that want the same device, watch both supervisors, stop the jobs."""
    with tempfile.TemporaryDirectory() as home:
        running, waiting = (_submit(Path(home), name) for name in ("running", "waiting"))
        try:
            time.sleep(3)
            watched = {name: psutil.Process(_pid(job)) for name, job in (("running", running), ("waiting", waiting))}
            before = {name: _cpu(process) for name, process in watched.items()}
            time.sleep(seconds)
            for name, process in watched.items():
                percent = 100 * (_cpu(process) - before[name]) / seconds
                memory = process.memory_info().rss / 1e6
                ratios = f"{percent / LIMIT_PERCENT:.2f} and {memory / LIMIT_MB:.2f}"
                print(f"{name}, {seconds:.0f} s: {percent:.3f} % of a core, {memory:.1f} MB")
                print(f"    limits {LIMIT_PERCENT} % and {LIMIT_MB} MB: ratios {ratios}")
        finally:
            for job in (waiting, running):
                client.stop(job, at_once=True)
                client.wait(job)


def _submit(home: Path, name: str) -> JobFolder:
    step = Step(id="one", title="One", argv=("sleep", "100000"), cwd=str(home / name), devices=("cpu",))
    return client.submit(home / "jobs", Plan(profile=name, steps=(step,)))


def _pid(job: JobFolder) -> int:
    identity = job.load_state().supervisor
    assert identity is not None
    return identity.pid


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 60.0)
