"""What watching costs: `python -m tests.benchmarks.monitor [PART ...]`, parts: log follow idle sample strip.

Prints figures beside the limits that we set ourselves. The wizard runs in a pseudo-terminal of 160x50, driven by keys.
"""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import threading
import time
import tracemalloc
from pathlib import Path

import psutil

from sft_tui.core.plan import Plan, Step
from sft_tui.store.job_store import JobFolder, create_job

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests/data/npu_smi/info_24.1.RC2_910A_x8_warning_procs.txt"
OPEN_LIMIT, TERMINAL_LIMIT, IDLE_LIMIT = 0.3, 30_000, 1.0  # seconds, bytes/s, % of a core
LINES_A_SECOND, FOLLOW_SECONDS, IDLE_SECONDS = 50_000, 10, 20
LINE = "2026-11-24 10:00:00,000 - mindformers[callback.py:494] - INFO - line {}\n"


class Wizard:
    """The real wizard on a home; bytes that it writes are counted and the newest kept."""

    def __init__(self, home: Path) -> None:
        self.bytes, self.tail, self._open = 0, b"", True
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            environment = {**os.environ, "TERM": "xterm-256color", "SFT_TUI_HOME": str(home), "HOME": str(home)}
            os.execve(sys.executable, [sys.executable, "-m", "sft_tui", "--profile", "bench"], environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while self._open:
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    data = os.read(self.terminal, 65536)
                except OSError:
                    return
                self.bytes += len(data)
                self.tail = (self.tail + data)[-200_000:]

    def press(self, keys: bytes, rest: float = 1.0) -> None:
        os.write(self.terminal, keys)
        time.sleep(rest)

    def until(self, text: bytes, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.tail:
            if time.monotonic() > deadline:
                raise SystemExit(f"the wizard did not show {text!r}: {self.tail[-500:]!r}")
            time.sleep(0.05)

    def cpu(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def close(self) -> None:
        self._open = False
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def bench_log() -> None:
    """Open the end of a log of 10 GB that is mostly a hole."""
    from sft_tui.logs.pages import LogPages

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.log"
        with path.open("wb") as file:
            file.truncate(10_000_000_000)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + b"".join(LINE.format(n).encode() for n in range(1000)))
        pages = LogPages(path)
        begun = time.perf_counter()
        page = pages.before(pages.size(), 48)
        took = time.perf_counter() - begun
        tracemalloc.start()
        pages.before(pages.size(), 48)
        peak = tracemalloc.get_traced_memory()[1]
    print(
        f"end of a 10 GB log, {len(page.lines)} lines: {took:.4f} s (limit {OPEN_LIMIT}), {peak / 1e6:.2f} MB at most"
    )


def _home(folder: Path, log: Path) -> JobFolder:
    """A home with a profile and a job that is on record as ended, with this log."""
    os.environ["SFT_TUI_HOME"] = str(folder)
    from sft_tui.paths import jobs_dir, profiles_dir
    from sft_tui.store.profile_store import new_profile_data, save_profile_data

    save_profile_data(profiles_dir(), "bench", new_profile_data("bench"))
    step = Step(id="train", title="Train", argv=("true",), cwd=str(folder), training_log=str(log))
    job, state = create_job(jobs_dir(), Plan(profile="bench", steps=(step,)), stop_grace_seconds=1)
    steps = tuple(
        s.model_copy(update={"status": "done", "started_at": time.time() - 60, "ended_at": time.time()})
        for s in state.steps
    )
    ended = {"lifecycle": "finished", "outcome": "succeeded", "ended_at": time.time(), "steps": steps}
    job.save_state(state.model_copy(update=ended))
    return job


def bench_follow() -> None:
    """Follow a log in the logs screen while it grows."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "run/msrun/worker_0.log"
        log.parent.mkdir(parents=True)
        log.write_text("".join(LINE.format(n) for n in range(100)))
        _home(Path(name) / "home", log)
        wizard = Wizard(Path(name) / "home")
        try:
            wizard.until(b"Quit")
            wizard.press(b"\x1b[19~", 2.0)  # f8
            wizard.press(b"\x0c", 2.0)  # ctrl+l
            wizard.press(b"\r", 2.0)
            wizard.until(b"line 99")
            before, behind_lines, behind_seconds = wizard.bytes, [], []
            begun, written, when = time.monotonic(), 100, []
            with log.open("a") as file:
                while (now := time.monotonic() - begun) < FOLLOW_SECONDS:
                    due = 100 + int(LINES_A_SECOND * now)
                    file.write("".join(LINE.format(n) for n in range(written, due)))
                    file.flush()
                    written = due
                    when.append((now, written))
                    if now > 1 and (seen := re.findall(rb"line (\d+)", wizard.tail[-60_000:])):
                        last = max(map(int, seen))
                        behind_lines.append(written - last)
                        behind_seconds.append(now - next(t for t, n in when if n > last))
                    time.sleep(0.02)
            rate = (wizard.bytes - before) / FOLLOW_SECONDS
            time.sleep(2)
            end = max(map(int, re.findall(rb"line (\d+)", wizard.tail))) == written - 1
        finally:
            wizard.close()
    if not behind_lines:
        raise SystemExit("no line was seen")
    print(f"a log that grows by {LINES_A_SECOND} lines/s: the last line in view is at most {max(behind_lines)} lines,")
    print(f"    {max(behind_seconds):.2f} s behind; the end is shown within 2 s of the last line: {end}")
    print(f"    {rate / 1000:.1f} kB/s to the terminal (limit {TERMINAL_LIMIT / 1000:.0f})")


def bench_idle() -> None:
    """The wizard on the Monitor screen: of a job that has ended, then of one that runs and says nothing."""
    from sft_tui.jobs import client
    from sft_tui.paths import jobs_dir

    for kind in ("finished", "quiet"):
        with tempfile.TemporaryDirectory() as name:
            home, log = Path(name) / "home", Path(name) / "train.log"
            log.write_text(LINE.format(0))
            _home(home, log)
            job = None
            if kind == "quiet":
                step = Step(id="one", title="One", argv=("sleep", "1000"), cwd=f"{name}/work")
                job = client.submit(jobs_dir(), Plan(profile="bench", steps=(step,)))
            wizard = Wizard(home)
            try:
                wizard.until(b"Quit")
                wizard.press(b"\x1b[19~", 6.0)
                cpu, sent = wizard.cpu(), wizard.bytes
                time.sleep(IDLE_SECONDS)
                percent = 100 * (wizard.cpu() - cpu) / IDLE_SECONDS
                rate = (wizard.bytes - sent) / IDLE_SECONDS
                print(f"idle monitor, {kind} job: {percent:.2f} % of a core (limit {IDLE_LIMIT}), {rate:.0f} bytes/s")
            finally:
                wizard.close()
                if job is not None:
                    client.stop(job, at_once=True)
                    client.wait(job)


def bench_sample(seconds: float = 20.0) -> None:
    """The sampler process with a stub npu-smi of eight devices."""
    import json
    import subprocess

    with tempfile.TemporaryDirectory() as name:
        stub = Path(name) / "npu-smi"
        stub.write_text(f"#!/bin/sh\nexec cat {TABLE}\n")
        stub.chmod(0o755)
        environment = {**os.environ, "PATH": f"{name}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": name}
        command = [sys.executable, str(ROOT / "sft_tui"), "monitor", "--json"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        size = len(child.stdout.readline())
        process, lines = psutil.Process(child.pid), 0

        def cpu() -> float:
            times = process.cpu_times()
            return times.user + times.system + times.children_user + times.children_system

        before, begun = cpu(), time.monotonic()
        while time.monotonic() - begun < seconds:
            json.loads(child.stdout.readline())
            lines += 1
        spent, took, memory = cpu() - before, time.monotonic() - begun, process.memory_info().rss
        child.terminate()
        child.wait()
    print(f"sampler: {1000 * spent / lines:.1f} ms of CPU a sample with the stub, {100 * spent / took:.2f} % of a core")
    print(f"    {size} bytes a line for 8 devices with 32 processes, {memory / 1e6:.1f} MB resident")


def bench_strip() -> None:
    """Order and draw 64 hosts with 16 devices each."""
    from sft_tui.monitor.device_view import lay_out, node_cells, order_nodes
    from sft_tui.monitor.snapshot import NpuDevice, NpuSnapshot, NpuTable
    from sft_tui.tui.text.device_text import strip_lines

    rng = random.Random(1)

    def device(index: int) -> NpuDevice:
        return NpuDevice(index, index, 0, "910B", "OK", 88.0, 51.0, float(rng.randrange(101)), 100, 200, processes=())

    tables = [NpuSnapshot(0.0, 1.0, NpuTable("25", tuple(map(device, range(16))), True)) for _ in range(64)]
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        nodes = order_nodes([node_cells(p, f"node{p}", table, 1.0, "", "use") for p, table in enumerate(tables)])
        strip_lines(nodes, lay_out(64, 16, 160, 46), 0)
        times.append(time.perf_counter() - begun)
    print(f"strip of 64 hosts with 16 devices: {1000 * sorted(times)[10]:.1f} ms")


PARTS = {"log": bench_log, "follow": bench_follow, "idle": bench_idle, "sample": bench_sample, "strip": bench_strip}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
