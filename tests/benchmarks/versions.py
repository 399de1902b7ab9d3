"""Rehearses every toy model of `sft-tui demo` with every interpreter that trains it: seconds, losses, resumption.

    python -m tests.benchmarks.versions PYTHON [PYTHON ...] [--models llama qwen3 gpt2] [--workers 1 2] [--no-resume]

Each PYTHON is an interpreter with one pair of MindSpore and MindFormers; sft-tui need not be installed there. A second
training is stopped half-way and goes on; `same` means that its first and last loss and the held-out loss are those of
the first. The table is for the README; a rehearsal that fails is a row that says so, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sft_tui.demo.workspace import TOYS
from sft_tui.families.table import FAMILIES
from sft_tui.metrics.points import MetricPoint
from sft_tui.metrics.store import iterate_metrics
from sft_tui.stack.releases import find_release
from sft_tui.store.job_store import JobFolder

ROOT = Path(__file__).parents[2]
VERSIONS = "import importlib.metadata as m; print(m.version('mindformers'), m.version('mindspore'))"
COMPARED = ("first_loss", "last_loss", "steps", "perplexity_after")
STOP_AFTER = 30  # steps; with one worker or two each rehearsal has more
LIMIT = 600.0  # seconds for a training to come so far


class FailedError(Exception):
    """A command of a rehearsal failed; its last words."""


@dataclass(frozen=True)
class Rehearsal:
    """One toy model with one interpreter, in a home of its own."""

    python: str
    model: str
    workers: int
    folder: Path

    def sft(self, *arguments: object, expect: tuple[int, ...] = (0,)) -> str:
        """Standard output of one command of ours. Raises FailedError."""
        done = subprocess.run(
            [sys.executable, "-m", "sft_tui", *map(str, arguments)],
            env={**os.environ, "SFT_TUI_HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in expect:
            lines = (done.stdout + done.stderr).strip().splitlines()
            raise FailedError(next((line for line in lines if "failed" in line or "error" in line), lines[-1]))
        return done.stdout

    def run_whole(self) -> tuple[float, dict[str, float]]:
        """Seconds, and the summary."""
        started = time.perf_counter()
        self.sft(
            "demo", self.folder / "demo", "--model", self.model, "--headless", "--python", self.python,
            "--workers", self.workers,
        )  # fmt: skip
        return time.perf_counter() - started, self.summary()

    def summary(self) -> dict[str, float]:
        """Of the newest run."""
        [path] = (self.folder / "demo" / TOYS[self.model].work / "runs").glob("*/summary.json")
        return json.loads(path.read_text())

    def resumes(self, whole: dict[str, float]) -> bool:
        """Whether a training that was stopped ends as the whole one did."""
        profile = TOYS[self.model].profile
        job = json.loads(self.sft("run", profile, "--from", "train", "--detach", "--json"))["id"]
        metrics = JobFolder(self.folder / "home" / "state" / "jobs" / job).metrics
        deadline = time.monotonic() + LIMIT
        while not any(isinstance(row, MetricPoint) and row.step >= STOP_AFTER for row in iterate_metrics(metrics)):
            if time.monotonic() > deadline:
                raise FailedError(f"no step {STOP_AFTER} after {LIMIT:.0f} s")
            time.sleep(0.1)
        self.sft("jobs", "stop", job, expect=(0, 3))
        self.sft("jobs", "wait", job, expect=(1, 3))
        self.sft("run", profile)
        return all(self.summary()[key] == whole[key] for key in COMPARED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--models", nargs="+", choices=sorted(TOYS), default=list(TOYS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--no-resume", action="store_true", help="only the whole rehearsals")
    arguments = parser.parse_args()
    print("| MindFormers | MindSpore | model | route | workers | seconds | first loss | before | after | resumed |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    failed = False
    for python in arguments.pythons:
        mindformers, mindspore = subprocess.run(
            [python, "-c", VERSIONS], capture_output=True, text=True, check=True
        ).stdout.split()
        release = find_release(mindformers)
        for model in arguments.models:
            route = FAMILIES[TOYS[model].family or model].route(release.mindformers) if release else None
            for workers in arguments.workers if route else ():
                with tempfile.TemporaryDirectory() as folder:
                    rehearsal = Rehearsal(python, model, workers, Path(folder))
                    words, sound = describe(rehearsal, resume=not arguments.no_resume)
                failed = failed or not sound
                print(f"| {mindformers} | {mindspore} | {model} | {route} | {workers} | {words} |", flush=True)
    sys.exit(int(failed))


def describe(rehearsal: Rehearsal, *, resume: bool) -> tuple[str, bool]:
    """The rest of a row, and whether all was well."""
    try:
        seconds, whole = rehearsal.run_whole()
    except FailedError as error:
        return f"failed: {error}", False
    before, after = (math.log(whole[f"perplexity_{when}"]) for when in ("before", "after"))
    words = f"{seconds:.0f} | {whole['first_loss']:.4f} | {before:.5f} | {after:.5f}"
    if after >= before:
        return f"{words} | it learned nothing", False
    if not resume:
        return f"{words} | not tried", True
    try:
        same = rehearsal.resumes(whole)
    except FailedError as error:
        return f"{words} | failed: {error}", False
    return f"{words} | {'same' if same else 'other end'}", same


if __name__ == "__main__":
    main()
