"""What a training costs when sft-tui starts it, over the same command bare: one worker, two workers, two hosts.

python -m tests.benchmarks.launch_overhead [--repeat 3] [--epochs 2]

The toy model of the rehearsal with the real MindFormers. Each is measured in turn, bare and through `sft-tui run`; the
medians are printed, and where ours goes: until the job is submitted (interpreter, files and, with hosts, the nodes
looked at), until its step has started, the step itself (with hosts: the parts started, followed, judged), and the end.
Two hosts want root, iproute2 and openssh-server.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from sft_tui.core.nodes import Launch
from sft_tui.core.plan import Plan, Step
from sft_tui.paths import PACKAGE_DIR
from sft_tui.store.job_store import JobFolder, list_jobs
from tests.process.nodes.two_hosts import HEAD, OTHER, Hosts

PREPARE = """
import sys
from pathlib import Path
from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

folder, epochs, workers, *hosts = sys.argv[1:]
data = write_workspace(Path(folder))
data["rehearsal"] = False
data["training"].update(run_name="overhead", evaluate=False, epochs=int(epochs))
data["nodes"].update(worker_num=int(workers), master_port=8451)
data["nodes"]["hosts"] = [{"host": host, "local_worker_num": 1} for host in hosts]
save_profile_data(profiles_dir(), "demo", data)
"""
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def local(home: Path) -> Command:
    environment = {**os.environ, "HOME": str(home), "SFT_TUI_HOME": f"{home}/sft-tui"}

    def command(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, words)], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    return command


def sound(result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    return result.stdout


def run_bare(steps: list[tuple[Step, list[str]]]) -> float:
    """Seconds of these commands, all at once, without anything of ours around them."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as log:
        started = [
            subprocess.Popen(
                [*prefix, *step.argv], cwd=step.cwd, env={**os.environ, **step.env}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )
            for step, prefix in steps
        ]  # fmt: skip
        codes = [child.wait() for child in started]
        if any(codes):
            log.seek(0)
            sys.exit(f"the bare command failed: {log.read()[-2000:].decode(errors='replace')}")
    return time.monotonic() - begin


def run_ours(command: Command, jobs: Path) -> tuple[float, dict[str, float]]:
    """Seconds of `sft-tui run`, and where they went."""
    begin = time.time()
    sound(command(PACKAGE_DIR, "run", "demo", "--from", "train", "--until", "train"))
    end = time.time()
    job: JobFolder = max((f for f in list_jobs(jobs) if "@" not in f.id), key=lambda f: int(f.id.partition("-")[0]))
    state = job.load_state()
    step = next(s for s in state.steps if s.id == "train")
    parts = {
        "until submitted": state.submitted_at - begin,
        "until the step": (step.started_at or 0.0) - state.submitted_at,
        "step": (step.ended_at or 0.0) - (step.started_at or 0.0),
        "end": end - (step.ended_at or 0.0),
    }
    return end - begin, parts


def measure(name: str, repeat: int, bare: Callable[[], float], ours: Callable[[], Any]) -> None:
    bares, wholes, parts = [], [], []
    for _ in range(repeat):
        bares.append(bare())
        whole, part = ours()
        wholes.append(whole)
        parts.append(part)
    middle = {key: statistics.median(part[key] for part in parts) for key in parts[0]}
    b, o = statistics.median(bares), statistics.median(wholes)
    print(f"{name:12} bare {b:5.1f} s ({min(bares):.1f} to {max(bares):.1f})  ours {o:5.1f} s "
          f"({min(wholes):.1f} to {max(wholes):.1f})  {o - b:+.1f} s, {o / b:.2f}", flush=True)  # fmt: skip
    print(f"{'':12} {', '.join(f'{key} {value:.2f}' for key, value in middle.items())}", flush=True)


def plan_of(command: Command) -> Plan:
    return Plan.model_validate(json.loads(sound(command(PACKAGE_DIR, "plan", "demo", "--json")))["plan"])


def on_this_host(folder: Path, workers: int, repeat: int, epochs: int) -> None:
    command = local(folder)
    sound(command("-c", PREPARE, folder / "demo", epochs, workers))
    sound(command(PACKAGE_DIR, "run", "demo", "--until", "train"))
    step = plan_of(command).step("train")
    jobs = folder / "sft-tui/state/jobs"
    name = "one worker" if workers == 1 else f"{workers} workers"
    measure(name, repeat, lambda: run_bare([(step, [])]), lambda: run_ours(command, jobs))


def on_two_hosts(folder: Path, repeat: int, epochs: int) -> None:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    hosts = Hosts(folder)
    (folder / "run").mkdir()
    try:
        hosts.set_up()
        sound(hosts.command("-c", PREPARE, folder / "demo", epochs, 1, HEAD, OTHER))
        sound(hosts.command(PACKAGE_DIR, "run", "demo", "--until", "train", timeout=300))
        [file] = [f for f in plan_of(hosts.command).files if f.path.endswith(".nodes.json")]
        launch = Launch.model_validate_json(file.text)
        spaces = (hosts.head_space, hosts.other_space)
        steps = [(part.plan.steps[0], ["ip", "netns", "exec", space]) for part, space in zip(launch.parts, spaces)]
        jobs = hosts.homes["head"] / "sft-tui/state/jobs"
        measure("two hosts", repeat, lambda: run_bare(steps), lambda: run_ours(hosts.command, jobs))
    finally:
        hosts.tear_down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="n") as name:
        for workers in (1, 2):
            folder = Path(name) / f"w{workers}"
            folder.mkdir()
            on_this_host(folder, workers, arguments.repeat, arguments.epochs)
        if os.geteuid() == 0:
            folder = Path(name) / "hosts"
            folder.mkdir()
            on_two_hosts(folder, arguments.repeat, arguments.epochs)


if __name__ == "__main__":
    main()
