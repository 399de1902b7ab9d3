"""Terminals, pipes, folders and multiplexers that go away under a job."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pytest

from sft_tui.core.plan import Output
from sft_tui.jobs import client

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parents[1]
WAITS = "echo run >> runs; while [ ! -e go ]; do sleep 0.02; done; echo done > one"


@pytest.fixture
def plan(lab):
    return lab.plan(lab.step("one", WAITS, outputs=("one",)), lab.step("two", "echo two > two", outputs=("two",)))


def assert_whole(lab, folder):
    """The job went on to its end, and did nothing twice."""
    (lab.work / "go").touch()
    state = lab.wait(folder)
    assert (state.outcome, state.reason) == ("succeeded", "")
    assert (lab.work / "runs").read_text() == "run\n"


# --- pipes and terminals


def test_a_pipe_that_nobody_drains_holds_up_the_ui_and_not_the_job(lab, plan, eventually):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    ui = subprocess.Popen(lab.run_command(plan), stdin=subprocess.DEVNULL, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        folder = eventually(lambda: client.running_job(lab.jobs_dir, "p"), "the job runs")
        assert_whole(lab, folder)
        assert ui.poll() is None
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read().lstrip(b"x").decode()
        assert ui.wait(timeout=20) == 0
    finally:
        ui.kill()
    assert text.startswith("job 1-p\n")
    assert "job succeeded" in text


@pytest.mark.parametrize("hangup", ["obeyed", "ignored"])
def test_a_terminal_that_is_closed_ends_the_ui_and_not_the_job(lab, plan, eventually, hangup):
    screen, terminal = pty.openpty()

    def enter():
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if hangup == "ignored" else signal.SIG_DFL)

    ui = subprocess.Popen(
        lab.run_command(plan),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=enter,
    )
    os.close(terminal)
    try:
        seen = b""
        while b"One" not in seen:
            seen += os.read(screen, 4096)
        folder = client.running_job(lab.jobs_dir, "p")
        before = lab.step_runs(folder, "one")
        os.close(screen)
        if hangup == "obeyed":
            assert ui.wait(timeout=20) == -signal.SIGHUP
        assert client.read_state(folder) == before
        assert_whole(lab, folder)
        ui.wait(timeout=20)
    finally:
        ui.kill()


# --- folders that are deleted


def test_a_job_goes_on_when_the_folder_that_it_was_submitted_from_is_deleted(lab, plan, eventually):
    here = lab.home / "here"
    here.mkdir()
    ui = subprocess.Popen(lab.run_command(plan), cwd=here, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        folder = eventually(lambda: client.running_job(lab.jobs_dir, "p"), "the job runs")
        lab.step_runs(folder, "one")
        here.rmdir()
        assert_whole(lab, folder)
        assert "job succeeded" in ui.communicate(timeout=20)[0]
    finally:
        ui.kill()


def test_a_job_can_be_submitted_and_watched_from_a_folder_that_is_gone(lab, plan):
    def from_nowhere(command):
        here = lab.home / "here"
        here.mkdir()
        script = f"rmdir {shlex.quote(str(here))}; exec {shlex.join(command)}"
        return subprocess.run(["sh", "-c", script], cwd=here, capture_output=True, text=True, timeout=60)

    submitted = from_nowhere(lab.run_command(plan, "--detach"))
    assert (submitted.returncode, submitted.stdout) == (0, "1-p\n"), submitted.stderr
    assert_whole(lab, client.list_jobs(lab.jobs_dir)[0])
    assert "job succeeded" in from_nowhere(lab.command("jobs", "attach")).stdout


def in_folder(lab, step_id, script, name):
    """A step that works in a folder of its own, and leaves `out` there."""
    folder = lab.work / name
    step = lab.step(step_id, script)
    output = Output(path=str(folder / "out"), kind="conversation")
    return step.model_copy(update={"cwd": str(folder), "outputs": (output,)})


def test_the_folder_of_a_step_that_is_about_to_start_is_made_again(lab):
    (lab.work / "second").mkdir()
    steps = (lab.step("one", "rm -r second"), in_folder(lab, "two", "echo two > out", "second"))
    _, state = lab.run(*steps)
    assert (state.outcome, state.reason) == ("succeeded", "")


def test_a_folder_that_is_deleted_while_its_step_begins_fails_the_step_and_says_so(lab, eventually, monkeypatch):
    order = lab.home / "slow"
    order.write_text("*/.one.begun.json.*\n\n")
    monkeypatch.setenv("SLOW_DISK", str(order))
    monkeypatch.setenv("PYTHONPATH", str(HERE / "slow_disk"))
    folder = lab.submit(in_folder(lab, "one", "echo one > out", "first"), lab.step("two", "touch never"))
    eventually(Path(f"{order}.reached").exists, "the step's beginning is being written")
    shutil.rmtree(lab.work / "first")
    order.unlink()
    state = lab.wait(folder)
    assert (state.outcome, [step.status for step in state.steps]) == ("failed", ["failed", "todo"])
    assert str(lab.work / "first") in state.reason
    assert "No such file" in state.reason
    _, state = lab.run(in_folder(lab, "one", "echo one > out", "first"))
    assert state.outcome == "succeeded"


def test_a_folder_that_is_deleted_under_its_step_is_told_by_what_is_missing(lab):
    script = "echo one > out; rm -r ../first; exit 0"
    _, state = lab.run(in_folder(lab, "one", script, "first"), lab.step("two", "touch never"))
    assert (state.outcome, [step.status for step in state.steps]) == ("failed", ["failed", "todo"])
    assert f"{lab.work}/first/out is missing" in state.reason


# --- tmux


class Tmux:
    """tmux servers on a socket of this test alone, one at a time."""

    def __init__(self, folder, eventually):
        self.environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE")}
        self.environment["TMUX_TMPDIR"] = folder
        self.eventually = eventually

    def call(self, *words, check=True):
        command = ["tmux", "-L", "sft", "-f", "/dev/null", *words]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout

    def start(self):
        """A new server with a shell; its pid."""
        self.call("new-session", "-d", "-x", "200", "-y", "50", "-c", str(ROOT), "sh")
        return int(self.call("display-message", "-p", "#{pid}"))

    def type(self, command):
        self.call("send-keys", "-l", shlex.join(command))
        self.call("send-keys", "Enter")

    def screen(self):
        return self.call("capture-pane", "-p", "-J", "-S", "-200")

    def kill(self, server):
        """The server is gone, and with it every terminal that it had."""
        os.kill(server, signal.SIGKILL)
        # a killed daemon's pid is its parent's to collect: what counts is that nobody answers
        self.eventually(lambda: not self.call("list-sessions", check=False), "the server is gone")


@pytest.fixture
def tmux(eventually):
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here (Debian: tmux)")
    folder = tempfile.mkdtemp(prefix="sft-")  # the path of a socket may not be long
    servers = Tmux(folder, eventually)
    yield servers
    servers.call("kill-server", check=False)
    shutil.rmtree(folder)


def test_a_killed_tmux_server_is_not_noticed_and_a_new_one_sees_the_end(lab, plan, tmux, eventually):
    server = tmux.start()
    tmux.type(lab.run_command(plan))
    eventually(lambda: client.running_job(lab.jobs_dir, "p"), "the job runs")
    folder = client.running_job(lab.jobs_dir, "p")
    before = lab.step_runs(folder, "one")
    eventually(lambda: "One" in tmux.screen().replace("one", ""), "the step is on the screen")
    tmux.kill(server)
    assert client.read_state(folder) == before

    assert tmux.start() != server
    tmux.type(lab.command("jobs", "attach"))
    eventually(lambda: "job 1-p" in tmux.screen(), "the new server shows the job")
    assert_whole(lab, folder)
    eventually(lambda: "job succeeded" in tmux.screen(), "the new server shows the end")
    assert "One: done" in tmux.screen()


@pytest.mark.nightly
@pytest.mark.real
def test_a_rehearsal_goes_on_when_tmux_is_killed_in_mid_training(sft, home, monkeypatch, eventually, request):
    tmux = request.getfixturevalue("tmux")  # it takes over the environment, which `home` has set
    command = [sys.executable, "-m", "sft_tui"]
    server = tmux.start()
    tmux.type([*command, "demo", str(home / "demo"), "--headless"])

    def newest():
        shown = sft("jobs", "show", "--json")
        return json.loads(shown.stdout) if shown.returncode == 0 else {}

    def trains():
        job = newest()
        metrics = Path(job["folder"]) / "metrics.jsonl" if job else None
        return metrics and metrics.exists() and '"loss_scale"' in metrics.read_text() and job

    try:
        job = eventually(trains, f"training has begun\n{tmux.screen()}", within=300)
        tmux.kill(server)
        running = newest()
        assert (running["lifecycle"], running["supervisor"]) == ("running", job["supervisor"])
        assert {s["id"]: s["status"] for s in running["steps"]}["train"] == "running"

        assert tmux.start() != server
        tmux.type([*command, "jobs", "attach"])
        eventually(lambda: "job succeeded" in tmux.screen(), "the new server shows the end", within=300)
    finally:
        sft("jobs", "stop", "--now")
    assert newest()["outcome"] == "succeeded"
    assert newest()["id"] == job["id"]
    summary = json.loads((home / "demo/work/runs/rehearsal-1/summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    assert "perplexity" in tmux.screen()
