"""What diagnosing a large folder of logs takes: seconds, megabytes a second, and peak memory.

    python -m tests.benchmarks.diagnose_logs [--gigabytes 1] [--ranks 8] [--folder DIR]

The logs are made: lines of MindFormers' loss monitor and of MindSpore at INFO, a warning now and then, a line in five
of a script without a level; the last rank but two ends for want of device memory, the others wait for it. Timed is the
whole command from its start to its end, with the files in the page cache as far as they fit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEP = (
    "2026-11-24 03:{m:02d}:{s:02d},{i:03d} - mindformers./output/log[mindformers/core/callback.py:712] - INFO - "
    "{{ Epoch:[  1/  2], step:[{n:5d}/99999], loss: {loss:.6f}, per_step_time: {i}ms, lr: 9.9e-06, overflow cond: 0, "
    "loss_scale: 65536.0, global_norm: [1.{i:03d}]\n"
)
BAR = "2026-11-24 03:{m:02d}:{s:02d},{i:03d} - mindformers./log[callback.py:719] - INFO -   {p}.0% |{bar}| 4.1 /s\n"
QUIET = "[INFO] DISTRIBUTED(4000,7f54bb807b80,python):2026-11-24-03:{m:02d}:{s:02d}.907.924 [tcp.cc:221] Start] ok\n"
WARNING = (
    "[WARNING] MD(4000,ffff852cf5d0,python):2026-11-24-03:{m:02d}:{s:02d}.999.090 [data_queue_op.cc:93] batch: 49\n"
)
PLAIN = "a line that a script prints, number {n} of many, with some text after it\n"
OUT_OF_MEMORY = 'Traceback (most recent call last):\n  File "x.py", line 3, in f\nRuntimeError: NPU out of memory {r}\n'
WAITED = "EI0002: [PID: 1] 2026-11-24-05:00:0{r}.713.335 The wait execution of the Notify register times out.\n"


def make_log(path: Path, rank: int, size: int, *, fails: bool) -> None:
    """Write a log of that size whose last lines tell how it ended."""
    written = n = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            n += 1
            values = {"m": n // 60 % 60, "s": n % 60, "i": n % 1000, "n": n, "p": n % 100, "bar": "#" * (n % 50)}
            row = STEP + BAR + QUIET + (WARNING if n % 10 == 0 else "") + PLAIN
            written += file.write(row.format(loss=2 + 1 / n, **values))
        file.write((OUT_OF_MEMORY if fails else WAITED).format(r=rank))


def main() -> None:
    """Make the logs, diagnose them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for rank in range(arguments.ranks):
            size = int(arguments.gigabytes * 1e9 / arguments.ranks)
            make_log(Path(folder) / f"worker_{rank}.log", rank, size, fails=rank == arguments.ranks - 3)
        total = sum(path.stat().st_size for path in Path(folder).iterdir())
        began = time.monotonic()
        command = [sys.executable, "-m", "sft_tui", "diagnose", folder, "--json"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    verdict = json.loads(result.stdout)
    print(f"{verdict['category']}, rank {verdict['rank']}, sure: {verdict['sure']}")
    print(f"{total / 1e6:.0f} MB in {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of processor)")
    print(f"{total / 1e6 / seconds:.0f} MB/s, peak {usage.ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
