"""The rehearsal of today's models with several versions of MindFormers: seconds and held-out losses.

    python -m tests.benchmarks.direct_versions PYTHON [PYTHON ...] [--workers 1 2]

Each PYTHON is an interpreter with one pair of MindSpore and MindFormers, and with what sft-tui needs.
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
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = "import importlib.metadata as m; print(m.version('mindformers'), m.version('mindspore'))"


def rehearse(python: str, workers: int, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the whole command, and the summary of its run."""
    homes = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}
    command = [python, "-m", "sft_tui", "demo", str(folder / "demo"), "--model", "qwen3", "--headless"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--workers", str(workers)],
        env={**os.environ, **homes, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    [summary] = (folder / "demo" / "work-qwen3" / "runs").glob("*/summary.json")
    return seconds, json.loads(summary.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    print("MindFormers  MindSpore  workers  seconds  held-out loss before  after   training loss at the end")
    for python in arguments.pythons:
        versions = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.split()
        for workers in arguments.workers:
            with tempfile.TemporaryDirectory() as folder:
                seconds, summary = rehearse(python, workers, Path(folder))
            before, after = (math.log(summary[f"perplexity_{when}"]) for when in ("before", "after"))
            print(
                f"{versions[0]:11}  {versions[1]:9}  {workers:7}  {seconds:7.1f}  {before:20.5f}"
                f"  {after:.5f}  {summary['last_loss']:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
