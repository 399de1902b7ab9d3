"""How long `sft-tui jobs list` takes with 1,000 jobs: `python -m tests.benchmarks.jobs_list`.

Prints the median of five runs, the limit of 0.3 s that we set ourselves, and what Python alone takes to start and to
import pydantic, which the records are read with.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sft_tui.core.job import ProcessIdentity
from sft_tui.core.plan import Plan, Step
from sft_tui.store.job_store import create_job

JOBS, STEPS, LOST_EVERY, LIMIT_SECONDS = 1000, 10, 100, 0.3


def main() -> None:
    """Make the jobs, list them, print the figures."""
    with tempfile.TemporaryDirectory() as home:
        _make_jobs(Path(home) / "state" / "jobs")
        environment = {**os.environ, "SFT_TUI_HOME": home}
        lists = _median([sys.executable, "-m", "sft_tui", "jobs", "list"], environment)
        peer = _median([sys.executable, "-c", "import pydantic"], environment)
    print(f"jobs list, {JOBS} jobs of {STEPS} steps, {JOBS // LOST_EVERY} of them lost: {lists:.3f} s")
    print(f"limit {LIMIT_SECONDS} s: ratio {lists / LIMIT_SECONDS:.2f}")
    print(f"Python with pydantic alone {peer:.3f} s: ratio {lists / peer:.1f}")


def _make_jobs(jobs_dir: Path) -> None:
    steps = tuple(Step(id=f"step-{n}", title=f"Step {n}", argv=("true",), cwd="/") for n in range(STEPS))
    gone = ProcessIdentity(pid=4_194_000, start_ticks=1, boot_id="of another day")
    for number in range(JOBS):
        folder, state = create_job(jobs_dir, Plan(profile="mine", steps=steps), stop_grace_seconds=30.0)
        folder.lock.touch()
        if number % LOST_EVERY:
            state = state.model_copy(update={"lifecycle": "finished", "outcome": "succeeded"})
        else:
            state = state.model_copy(update={"lifecycle": "running", "supervisor": gone})
        folder.save_state(state)


def _median(command: list[str], environment: dict[str, str]) -> float:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    main()
