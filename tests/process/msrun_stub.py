"""Stands in for msrun where a test is about hosts and not about training: workers that log steps until a file comes."""

import os
import subprocess
import sys
import time
from pathlib import Path

OPTIONS = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
FOLDER = Path(sys.argv[-1])  # where the tests put their signs


def work(rank):
    print(f"[WARNING] DISTRIBUTED(1): PostProcess] This node {rank} rank id: {rank}", flush=True)
    (FOLDER / f"worker_{rank}.pid").write_text(str(os.getpid()))
    step = 0
    while not (FOLDER / "go").exists():
        if (FOLDER / f"fail_{rank}").exists():
            print("ValueError: nothing is left of the loss", flush=True)
            sys.exit(1)
        step = min(step + 1, 99)
        print(f"INFO - {{ Epoch:[  1/  1], step:[{step:5}/  100], loss: 2.5, per_step_time: 100ms", flush=True)
        time.sleep(0.1)
    print("INFO - { Epoch:[  1/  1], step:[  100/  100], loss: 1.5, per_step_time: 100ms", flush=True)
    folder = FOLDER / "checkpoint" / f"rank_{rank}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"x-{time.time_ns()}.ckpt").write_text("weights")


def main():
    node, count = int(OPTIONS["node_rank"]), int(OPTIONS["local_worker_num"])
    log_dir = Path(OPTIONS["log_dir"])
    log_dir.mkdir(parents=True, exist_ok=True)
    workers = []
    for rank in range(node * count, (node + 1) * count):
        with (log_dir / f"worker_{rank}.log").open("w") as log:
            command = [sys.executable, __file__, "work", str(rank), str(FOLDER)]
            environment = {**os.environ, "RANK_ID": str(rank), "MS_ROLE": "MS_WORKER"}
            workers.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True))
    while any(worker.poll() != 0 for worker in workers):
        for worker in workers:
            if worker.poll():
                print(
                    f"[ERROR] Worker process {worker.pid} exit with exception. Error code: {worker.returncode}.",
                    flush=True,
                )
                time.sleep(30 if node == 0 else 0)  # the scheduler's time-out
                sys.exit("RuntimeError: Distributed job exited with exception.")
        time.sleep(0.2)


if __name__ == "__main__":
    work(int(sys.argv[2])) if sys.argv[1] == "work" else main()
