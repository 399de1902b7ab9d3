"""Who gets which signal, and when: five processes, five signals, five moments of a job.

A moment is held still by a disk that takes its time (`slow_disk/`), or by a step that waits for a file. Then the signal
is sent, the disk goes on, and what the job says is compared with what happened.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from sft_tui.core.job import JobState
from sft_tui.core.plan import Output, PlannedFile, Step
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client, process
from sft_tui.store.job_store import list_jobs

HERE = Path(__file__).parents[1]
TARGETS = ("ui", "supervisor", "leader", "worker", "group")
SIGNALS = ("SIGHUP", "SIGTERM", "SIGINT", "SIGKILL", "SIGSTOP")
# the file that the disk takes its time over: the end of its temporary name, and a part of its text
MOMENTS = {
    "at-submit": ("*/.state.json.*", '"supervisor": {'),
    "before-the-first-step": ("*/.planned.yaml.*", ""),
    "during-a-step": None,
    "between-steps": ("*/.two.begun.json.*", ""),
    "while-writing-state": ("*/.state.json.*", '"process": {'),
}
BY_THE_SUBMITTER = ("*/.state.json.*", '"supervisor": null')
WITH_A_STEP = ("during-a-step", "while-writing-state")
SECOND = 'echo "${SFT_TUI_JOB##*/} two" >> runs; echo done > two.out'


class Cell:
    """A job at one moment."""

    def __init__(self, lab, eventually, monkeypatch):
        self.lab, self.eventually = lab, eventually
        self.order = lab.home / "slow"
        monkeypatch.setenv("SLOW_DISK", str(self.order))
        monkeypatch.setenv("PYTHONPATH", str(HERE / "slow_disk"))
        steps = (
            self.step("one", (sys.executable, "-I", "-S", str(HERE / "step_leader.py"))),
            self.step("two", ("sh", "-c", SECOND)),
        )
        file = PlannedFile(path=str(lab.work / "planned.yaml"), text="a: 1\n")
        self.plan = lab.plan(*steps, files=(file,), stop_grace_seconds=0.3)
        self.folder = None
        self.ui = None

    def step(self, step_id, argv):
        output = Output(path=str(self.lab.work / f"{step_id}.out"), kind="conversation")
        return Step(id=step_id, title=step_id, argv=argv, cwd=str(self.lab.work), outputs=(output,))

    # --- the moment

    def hold(self, name, text):
        self.order.write_text(f"{name}\n{text}\n")

    def release(self):
        self.order.unlink(missing_ok=True)
        (self.lab.work / "go").touch()

    def held_process(self):
        reached = Path(f"{self.order}.reached")
        return int(self.eventually(lambda: reached.is_file() and reached.read_text(), "the slow file is written"))

    def start_ui(self):
        with (self.lab.home / "ui.log").open("wb") as log:
            self.ui = subprocess.Popen(
                self.lab.run_command(self.plan),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=obey_signals,
            )

    def ui_text(self):
        return (self.lab.home / "ui.log").read_text()

    def reach(self, moment, *, attached):
        """Bring the job to the moment; the identity of its supervisor."""
        if MOMENTS[moment]:
            self.hold(*MOMENTS[moment])
        if moment == "between-steps":
            (self.lab.work / "go").touch()
        if attached:
            self.start_ui()
            self.eventually(lambda: "job 1-p" in self.ui_text(), "the UI is attached")
            self.folder = list_jobs(self.lab.jobs_dir)[0]
        else:
            self.folder = client.submit(self.lab.jobs_dir, self.plan)
        pid = self.held_process() if MOMENTS[moment] else self.lab.step_runs(self.folder, "one").supervisor.pid
        if moment in WITH_A_STEP:
            self.lab.pid_in("worker")
            self.lab.pid_in("member")
        return process.identify(pid)

    # --- who is there

    def stored(self):
        """The state on disk, which is valid at every moment."""
        return JobState.model_validate_json((self.folder.path / "state.json").read_bytes())

    def truth(self):
        self.stored()
        return client.read_state(self.folder)

    def marked(self):
        return self.lab.marked(self.folder)

    def supervisors(self):
        return {pid for pid in self.lab.living() if self.is_supervisor(self.lab.read_proc(pid, "cmdline").split(b"\0"))}

    def is_supervisor(self, words):
        return b"_supervise" in words and any(word.startswith(str(self.lab.jobs_dir).encode()) for word in words)

    def runs(self):
        path = self.lab.work / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def pid_of(self, target, supervisor):
        if target == "ui":
            return self.ui.pid
        if target == "supervisor":
            return supervisor.pid
        if target == "worker":
            return self.lab.pid_in("worker")
        # known by the member's group, whether it is on record yet or not
        return os.getpgid(self.lab.pid_in("member"))

    # --- the signal

    def send(self, target, pid, number):
        """Send it, and return once it has done its work; what has been stopped goes on with `go_on`."""
        whole = {self.lab.pid_in("member"), pid} if target == "group" else {pid}
        (os.killpg if target == "group" else os.kill)(pid, number)
        arrived = is_stopped if number == signal.SIGSTOP else has_taken
        self.eventually(lambda: all(arrived(self.lab, p, number) for p in whole), f"{number.name} has come to {target}")

    def refused(self):
        """Nothing runs twice: while the job or something of it lives, nobody can start another."""
        with pytest.raises(InvalidInputError) as error:
            client.submit(self.lab.jobs_dir, self.plan)
        assert len(list_jobs(self.lab.jobs_dir)) == 1
        return str(error.value)

    def check_the_end(self):
        """Valid, whole, and nothing is left."""
        if self.ui is not None:
            self.ui.wait(timeout=20)
        self.eventually(lambda: not self.supervisors(), "no supervisor is left")
        assert not self.marked()
        for folder in list_jobs(self.lab.jobs_dir):
            state = client.read_state(folder)
            stored = JobState.model_validate_json((folder.path / "state.json").read_bytes())
            assert state.finished
            assert stored == state or state.outcome == "lost"
            assert "still runs" not in state.reason
            started = Counter(e.step for e in folder.read_events()[0] if e.kind == "step_started")
            assert set(started.values()) <= {1}
            ended = [e for e in folder.read_events()[0] if e.kind == "job_finished"]
            assert len(ended) == (state.outcome != "lost")
        assert all(count == 1 for count in Counter(self.runs()).values()), self.runs()


def obey_signals():
    """As in a terminal, even if the tests run in the background."""
    for name in SIGNALS[:3]:
        signal.signal(signal.Signals[name], signal.SIG_DFL)


def is_stopped(lab, pid, _number):
    return lab.read_proc(pid, "stat").rpartition(b")")[2].split()[:1] == [b"T"]


def has_taken(lab, pid, number):
    """It has died, or the signal no longer waits for it."""
    if process.identify(pid) is None:
        return True
    fields = dict(line.partition(b":")[::2] for line in lab.read_proc(pid, "status").splitlines())
    waiting = int(fields.get(b"ShdPnd", b"0"), 16) | int(fields.get(b"SigPnd", b"0"), 16)
    return number != signal.SIGKILL and not waiting & 1 << (number - 1)


@pytest.fixture
def cell(lab, eventually, monkeypatch):
    cell = Cell(lab, eventually, monkeypatch)
    yield cell
    cell.order.unlink(missing_ok=True)
    for pid in cell.supervisors():  # of a job that was not listed yet
        os.kill(pid, signal.SIGKILL)
    if cell.ui is not None:
        cell.ui.kill()
        cell.ui.wait()


def is_always_run(target, name, moment):
    """One cell of each kind; the others differ from it in the number of the signal, or in where a step was."""
    if target in ("ui", "supervisor"):
        return name in ("SIGHUP", "SIGKILL") or moment == "during-a-step"
    return name == "SIGKILL" or (moment == "during-a-step" and name in ("SIGTERM", "SIGSTOP"))


CELLS = [
    pytest.param(target, name, moment, marks=() if is_always_run(target, name, moment) else pytest.mark.nightly)
    for target, name, moment in itertools.product(TARGETS, SIGNALS, MOMENTS)
    if target in ("ui", "supervisor") or moment in WITH_A_STEP
]


@pytest.mark.parametrize(("target", "name", "moment"), CELLS)
def test_what_a_job_says_is_true_nothing_is_left_and_nothing_runs_twice(cell, target, name, moment):
    number = signal.Signals[name]
    if target == "ui" and moment == "at-submit":
        signal_the_submitter(cell, number)
    else:
        supervisor = cell.reach(moment, attached=target == "ui")
        pid = cell.pid_of(target, supervisor)
        AFTER[target](cell, supervisor, pid, number, moment)
    cell.check_the_end()


def signal_the_submitter(cell, number):
    """Its job is not started yet: there is none, or there is a whole one."""
    cell.hold(*BY_THE_SUBMITTER)
    cell.start_ui()
    assert cell.held_process() == cell.ui.pid
    assert not list_jobs(cell.lab.jobs_dir)
    cell.send("ui", cell.ui.pid, number)
    if number == signal.SIGSTOP:
        refusals = []
        other = threading.Thread(target=lambda: refusals.append(cell.refused()))
        other.start()  # it has to wait for the one that came first
        os.kill(cell.ui.pid, signal.SIGCONT)
        cell.order.unlink()
        other.join(timeout=20)
        assert "runs already as job 1-p" in refusals[0]
    elif number == signal.SIGKILL:
        assert cell.ui.wait() == -number
    else:
        cell.order.unlink()
        assert cell.ui.wait(timeout=20) != 0
    if number != signal.SIGSTOP:
        assert not list_jobs(cell.lab.jobs_dir)
        assert not cell.supervisors()
        client.submit(cell.lab.jobs_dir, cell.plan)  # what is left of it stands in nobody's way
    cell.release()
    [cell.folder] = list_jobs(cell.lab.jobs_dir)
    assert_succeeded(cell)


@pytest.mark.parametrize(
    "name", [pytest.param(s, marks=pytest.mark.nightly if s in ("SIGINT", "SIGTERM") else ()) for s in SIGNALS]
)
def test_a_submitter_that_dies_between_the_job_and_its_supervisor_leaves_a_job_that_is_in_nobodys_way(cell, name):
    """The last moment of a submission: the job can be seen already, and has no supervisor yet."""
    number = signal.Signals[name]
    cell.hold("*/jobs/1-p", "state.json")
    cell.start_ui()
    assert cell.held_process() == cell.ui.pid
    [cell.folder] = list_jobs(cell.lab.jobs_dir)
    assert cell.truth().lifecycle == "queued"
    cell.send("ui", cell.ui.pid, number)
    if number == signal.SIGSTOP:
        os.kill(cell.ui.pid, signal.SIGCONT)
        cell.release()
        assert_succeeded(cell)
    else:
        cell.order.unlink()
        assert cell.ui.wait(timeout=20) != 0
        state = cell.truth()
        assert (state.outcome, [step.status for step in state.steps]) == ("lost", ["todo", "todo"])
        assert not client.stop(cell.folder)
        assert not cell.supervisors()
        cell.release()
        cell.folder = client.submit(cell.lab.jobs_dir, cell.plan)
        assert_succeeded(cell)
    cell.check_the_end()


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment not in WITH_A_STEP])
def test_before_a_step_and_after_it_nobody_is_there_to_get_a_signal(cell, moment):
    """Nothing of a step is alive or on record, whatever it left behind."""
    cell.reach(moment, attached=False)
    assert not cell.marked()
    assert not any(process.is_alive(step.process) for step in cell.stored().steps)
    assert cell.runs() == (["1-p one"] if moment == "between-steps" else [])
    assert "runs already as job 1-p" in cell.refused()
    cell.release()
    assert_succeeded(cell)
    cell.check_the_end()


def after_the_ui(cell, supervisor, pid, number, moment):
    before = cell.stored()
    cell.send("ui", pid, number)
    assert process.is_alive(supervisor)
    assert cell.truth() == before
    assert "runs already as job 1-p" in cell.refused()
    cell.release()
    assert_succeeded(cell)
    if number == signal.SIGSTOP:
        assert is_stopped(cell.lab, pid, number)  # the job did not wait for it
        os.kill(pid, signal.SIGCONT)
        assert cell.ui.wait(timeout=20) == 0
        assert "job succeeded" in cell.ui_text()


def after_the_supervisor(cell, supervisor, pid, number, moment):
    before = cell.stored()
    runs = cell.runs()
    cell.send("supervisor", pid, number)
    if number == signal.SIGKILL:
        assert_lost(cell, moment)
        return
    assert cell.truth().lifecycle == before.lifecycle or number == signal.SIGTERM
    assert not cell.truth().finished or number == signal.SIGTERM
    if number != signal.SIGTERM:
        assert "runs already as job 1-p" in cell.refused()
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    if number != signal.SIGTERM:
        cell.release()
        assert_succeeded(cell)
        return
    cell.order.unlink(missing_ok=True)
    state = cell.lab.wait(cell.folder)
    assert (state.outcome, state.reason) == ("stopped", "stopped on request")
    expected = {
        "at-submit": ["todo", "todo"],
        "before-the-first-step": ["todo", "todo"],
        "between-steps": ["done", "stopped"],
    }
    assert [step.status for step in state.steps] == expected.get(moment, ["stopped", "todo"])
    assert cell.runs() == runs


def assert_lost(cell, moment):
    """The state that is told is true, what is left can be ended, and a later run goes on."""
    state = cell.truth()
    assert (state.lifecycle, state.outcome) == ("finished", "lost")
    left = cell.marked()
    assert bool(left) == (moment in WITH_A_STEP)
    if left:
        assert "still runs as process" in state.reason
        assert f"sft-tui jobs stop {cell.folder.id}" in state.hint
        assert any(f"process {pid}" in state.reason for pid in left)
        assert "still runs" in cell.refused()
    assert client.stop(cell.folder) == bool(left)
    assert not cell.marked()
    assert cell.truth().outcome == "lost"
    assert "still runs" not in cell.truth().reason
    runs = cell.runs()
    cell.release()
    again = client.submit(cell.lab.jobs_dir, cell.plan)
    state = cell.lab.wait(again)
    assert state.outcome == "succeeded", state.reason
    done = moment == "between-steps"
    assert [step.status for step in state.steps] == ["skipped" if done else "done", "done"]
    assert cell.runs() == [*runs, *(() if done else ("2-p one",)), "2-p two"]


def after_a_process_of_the_step(cell, supervisor, pid, number, moment, target):
    assert "runs already as job 1-p" in cell.refused()
    cell.send(target, pid, number)
    if number == signal.SIGSTOP:
        assert cell.truth().lifecycle == "running"
        (os.killpg if target == "group" else os.kill)(pid, signal.SIGCONT)
        cell.release()
        assert_succeeded(cell)
        return
    cell.order.unlink(missing_ok=True)
    state = cell.lab.wait(cell.folder)
    assert (state.outcome, [step.status for step in state.steps]) == ("failed", ["failed", "todo"])
    exit_record = json.loads((cell.folder.path / "exits" / "one.json").read_text())
    if target == "worker":
        assert state.reason == f"step one: exit code 1: RuntimeError: worker was ended by {number.name}"
        assert (exit_record["exit_code"], exit_record["signal"]) == (1, "")
    else:
        assert f"step one: killed by {number.name}" in state.reason
        assert (exit_record["exit_code"], exit_record["signal"]) == (-number, number.name)
    assert state.step("one").exit_code == exit_record["exit_code"]
    assert cell.runs() == ["1-p one"]


AFTER = {
    "ui": after_the_ui,
    "supervisor": after_the_supervisor,
    **{target: partial(after_a_process_of_the_step, target=target) for target in ("leader", "worker", "group")},
}


def assert_succeeded(cell):
    state = cell.lab.wait(cell.folder)
    assert (state.outcome, state.reason) == ("succeeded", "")
    assert [step.status for step in state.steps] == ["done", "done"]
    assert cell.runs() == [f"{cell.folder.id} one", f"{cell.folder.id} two"]
