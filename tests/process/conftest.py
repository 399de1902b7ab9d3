"""A laboratory for real jobs: small plans, real supervisors, and a clean-up that leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, TypeVar

import pytest

from sft_tui.core.job import JobState
from sft_tui.core.plan import Output, Plan, Step
from sft_tui.errors import SftError
from sft_tui.jobs import client, process
from sft_tui.paths import PACKAGE_DIR, jobs_dir
from sft_tui.store.job_store import JobFolder, list_jobs

T = TypeVar("T")
HERE = Path(__file__).parent
DEADLINE = 60.0


def eventually(look: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """The first true answer of `look`; a failure that says what did not happen."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        answer = look()
        if answer:
            return answer
        time.sleep(0.02)
    pytest.fail(f"not within {within} s: {what}")


class Lab:
    """Submits plans made of shell scripts and looks at what becomes of them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.jobs_dir = jobs_dir()
        self.work = home / "work"
        self.work.mkdir(parents=True)

    def step(self, step_id: str, script: str, *, outputs: tuple[str, ...] = (), **more: Any) -> Step:
        """A step that runs a shell script in the working folder; outputs are names in it."""
        return Step(
            id=step_id,
            title=step_id.title(),
            argv=("sh", "-c", script),
            cwd=str(self.work),
            outputs=tuple(Output(path=str(self.work / name), kind="conversation") for name in outputs),
            **more,
        )

    def plan(self, *steps: Step, profile: str = "p", **more: Any) -> Plan:
        return Plan(profile=profile, steps=steps, **more)

    def submit(self, *steps: Step, **options: Any) -> JobFolder:
        return client.submit(self.jobs_dir, self.plan(*steps), stop_grace_seconds=1.0, **options)

    def submit_elsewhere(self, plan: Plan) -> subprocess.Popen[bytes]:
        """Another process submits the plan and then waits for its own end."""
        plan_file = self.home / f"plan-{time.monotonic_ns()}.json"
        plan_file.write_text(plan.model_dump_json())
        script = (
            "import sys, time; from pathlib import Path\n"
            "from sft_tui.core.plan import Plan; from sft_tui.jobs import client\n"
            "plan = Plan.model_validate_json(Path(sys.argv[2]).read_text())\n"
            "client.submit(Path(sys.argv[1]), plan); print('submitted', flush=True); time.sleep(600)"
        )
        return subprocess.Popen(
            [sys.executable, "-c", script, str(self.jobs_dir), str(plan_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run_command(self, plan: Plan, *flags: str) -> list[str]:
        """The command line that does what `sft-tui run` does, for this plan."""
        plan_file = self.home / f"{plan.profile}.json"
        plan_file.write_text(plan.model_dump_json())
        return [sys.executable, str(HERE / "run_plan.py"), str(plan_file), *flags]

    def command(self, *arguments: str) -> list[str]:
        """A command line of sft-tui that works in every folder."""
        return [sys.executable, str(PACKAGE_DIR), *arguments]

    def run(self, *steps: Step, **options: Any) -> tuple[JobFolder, JobState]:
        folder = self.submit(*steps, **options)
        return folder, self.wait(folder)

    def wait(self, folder: JobFolder) -> JobState:
        def ended() -> Optional[JobState]:
            state = client.read_state(folder)
            return state if state.finished else None

        state = eventually(ended, "the job ends")
        eventually(lambda: not process.is_alive(state.supervisor), "its supervisor ends")
        return state

    def pid_in(self, name: str) -> int:
        """The pid that a script wrote into a file of the working folder."""
        path = self.work / name
        return int(eventually(lambda: path.is_file() and path.read_text().strip(), f"{name} is written"))

    def step_runs(self, folder: JobFolder, step_id: str) -> JobState:
        """Wait until the step's process is on record."""

        def running() -> Optional[JobState]:
            state = folder.load_state()
            step = state.step(step_id)
            return state if step.status == "running" and step.process else None

        return eventually(running, f"step {step_id} runs")

    def kill_supervisor(self, folder: JobFolder, step_id: str) -> JobState:
        state = self.step_runs(folder, step_id)
        assert process.signal_process(state.supervisor, signal.SIGKILL)
        eventually(lambda: not process.is_alive(state.supervisor), "the supervisor is dead")
        return state

    @staticmethod
    def read_proc(pid: int, name: str) -> bytes:
        """A file of a process in /proc; empty once it is gone."""
        try:
            return Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            return b""

    @staticmethod
    def living() -> list[int]:
        """All processes that are neither gone nor zombies."""
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and is_running(int(p.name))]

    @classmethod
    def marked(cls, *folders: JobFolder) -> set[int]:
        """Living processes of the jobs' steps, looked up without the product."""
        marks = {f"{process.JOB_MARK}={process.mark_of(folder.path)}".encode() for folder in folders}
        return {pid for pid in cls.living() if marks & set(cls.read_proc(pid, "environ").split(b"\0"))}


def is_running(pid: int) -> bool:
    return process.identify(pid) is not None


def _clean_up(jobs_dir: Path) -> None:
    for folder in list_jobs(jobs_dir):
        with contextlib.suppress(SftError):  # a state that a test damaged
            process.signal_process(folder.load_state().supervisor, signal.SIGKILL)
    for pid in Lab.marked(*list_jobs(jobs_dir)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sft(sft_process: Callable[..., Any]) -> Callable[..., Any]:
    """Here every command line is a process of its own."""
    return sft_process


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    yield Lab(home)
    _clean_up(jobs_dir())


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], Any], str], Any]:
    return eventually


@pytest.fixture(name="is_running")
def _is_running() -> Callable[[int], bool]:
    return is_running
