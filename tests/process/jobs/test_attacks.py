"""What is done to the files and processes of a job that runs: it hears a stop, and is not taken for another."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time

import pytest

from sft_tui.commands import jobs as jobs_command
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs import client, process
from sft_tui.jobs.leftovers import look_again, marked
from sft_tui.jobs.read_state import is_supervised, read_state
from sft_tui.store.job_store import list_jobs

# whoever asks does it by a process of its own; ending a step's processes takes two looks at /proc
HEARD_SECONDS = 1.0
NOBODY = 65534


def _heard_after(folder):
    begun = time.monotonic()
    while read_state(folder).lifecycle not in ("stopping", "finished"):
        assert time.monotonic() - begun < 20
        time.sleep(0.01)
    return time.monotonic() - begun


LOSS = "Epoch:[  1/  9], step:[    1/   99], loss: 1.0, per_step_time: 5ms"


@pytest.mark.parametrize("line", ["progress: a 1/2 rows", LOSS])
def test_a_stop_is_heard_while_the_log_of_a_step_that_has_ended_is_read(lab, line):
    """A flood of lines that all say something is the worst there is."""
    folder = lab.submit(lab.step("one", f"yes '{line}' | head -c 60000000"))
    state = lab.step_runs(folder, "one")
    while process.is_alive(state.step("one").process):
        time.sleep(0.02)
    assert client.stop(folder)
    begun = time.monotonic()
    state = lab.wait(folder)
    assert time.monotonic() - begun < 3 * HEARD_SECONDS
    assert state.outcome in ("stopped", "failed")


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("where", ["its own", "a worker's"])
def test_a_log_that_becomes_a_fifo_holds_nobody_up(lab, at_once, where, eventually):
    log = lab.work / "worker_0.log"
    more = {} if where == "its own" else {"training_log": str(log)}
    folder = lab.submit(lab.step("one", f"echo x >> {log}; touch up; sleep 600", **more))
    lab.step_runs(folder, "one")
    eventually(lambda: (lab.work / "up").exists(), "the step runs")
    path = folder.step_log("one") if where == "its own" else log
    path.unlink()
    os.mkfifo(path)
    time.sleep(0.6)
    assert client.stop(folder, at_once=at_once)
    assert _heard_after(folder) < HEARD_SECONDS
    assert lab.wait(folder).outcome == "stopped"


def test_a_steps_log_that_is_no_file_is_told(lab):
    script = 'mkfifo "$SFT_TUI_JOB/logs/two.log"'
    folder = lab.submit(lab.step("one", script), lab.step("two", "sleep 600"))
    state = lab.wait(folder)
    assert state.outcome == "failed" and "its log is a FIFO, not a file" in state.reason


def test_a_job_whose_record_is_gone_can_be_stopped_and_admits_no_second_one(lab, capsys):
    folder = lab.submit(lab.step("one", "sleep 600"))
    lab.step_runs(folder, "one")
    (folder.path / "state.json").unlink()
    (folder.path / "spec.json").write_text("{")
    with pytest.raises(InvalidInputError, match="record is damaged"):
        client.submit(lab.jobs_dir, lab.plan(lab.step("one", "true"), profile="other"))
    assert client.stop(folder)
    state = _wait_written(folder)
    assert state.outcome == "stopped" and not is_supervised(folder)


def _wait_written(folder):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = read_state(folder)
            if state.finished and not is_supervised(folder):
                return state
        except SftError:
            pass
        time.sleep(0.05)
    pytest.fail("not stopped")


def test_a_lost_job_without_a_record_is_ended_by_its_mark(lab, eventually):
    folder = lab.submit(lab.step("one", "sleep 600"))
    state = lab.step_runs(folder, "one")
    os.kill(state.supervisor.pid, signal.SIGKILL)
    eventually(lambda: not is_supervised(folder), "the supervisor is gone")
    (folder.path / "state.json").unlink()
    with pytest.raises(InvalidInputError, match=folder.id):
        client.submit(lab.jobs_dir, lab.plan(lab.step("one", "true")))
    assert client.stop(folder, at_once=True)
    look_again()
    assert marked(folder.path) == []
    os.utime(folder.path, (1e9, 1e9))
    assert jobs_command.rm(argparse.Namespace(ids=[folder.id], finished=False, yes=True, json=True)) == 0
    assert list_jobs(lab.jobs_dir) == []


def test_a_halted_supervisor_is_told_with_what_to_do(lab):
    folder = lab.submit(lab.step("one", "sleep 600"))
    supervisor = lab.step_runs(folder, "one").supervisor
    os.kill(supervisor.pid, signal.SIGSTOP)
    time.sleep(0.2)
    state = read_state(folder)
    assert "is stopped by SIGSTOP" in state.headline() and f"kill -CONT {supervisor.pid}" in state.hint
    os.kill(supervisor.pid, signal.SIGCONT)
    time.sleep(0.2)
    assert read_state(folder).headline() == "running"
    os.kill(supervisor.pid, signal.SIGSTOP)
    assert client.stop(folder, at_once=True)
    assert lab.wait(folder).outcome == "stopped"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start a process of another user")
def test_a_marked_process_of_another_user_is_not_ended(lab, eventually):
    folder = lab.submit(lab.step("one", "sleep 600"))
    state = lab.step_runs(folder, "one")
    theirs = subprocess.Popen(
        ["/bin/sleep", "600"], user=NOBODY, cwd="/",
        env={"SFT_TUI_JOB": process.mark_of(folder.path)}, start_new_session=True,
    )  # fmt: skip
    try:
        os.kill(state.supervisor.pid, signal.SIGKILL)
        eventually(lambda: not is_supervised(folder), "the supervisor is gone")
        assert client.stop(folder, at_once=True)
        assert theirs.poll() is None
        assert not process.is_alive(state.step("one").process)
    finally:
        theirs.kill()
        theirs.wait()


def test_what_a_killed_supervisor_was_about_to_write_is_removed(lab, eventually):
    folder = lab.submit(lab.step("one", "sleep 600"))
    state = lab.step_runs(folder, "one")
    os.kill(state.supervisor.pid, signal.SIGKILL)
    eventually(lambda: not is_supervised(folder), "the supervisor is gone")
    (folder.path / ".state.json.0123456789ab.partial").write_text("{")
    client.stop(folder, at_once=True)
    assert list(folder.path.glob(".*")) == []


@pytest.mark.parametrize("name", ["events.jsonl", "metrics.jsonl", "state.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_the_end_of_a_job_does_not_wait_for_a_file_that_cannot_be_one(lab, eventually, name, make):
    line = "Epoch:[  1/  1], step:[    1/   99], loss: 1.0, per_step_time: 5ms"
    folder = lab.submit(lab.step("one", f"touch up; while :; do echo '{line}'; sleep 0.1; done"))
    lab.step_runs(folder, "one")
    eventually(lambda: (lab.work / "up").exists() and folder.metrics.exists(), "it trains")
    (folder.path / name).unlink()
    make(folder.path / name)
    assert client.stop(folder, at_once=True)
    eventually(lambda: not is_supervised(folder), "the supervisor has ended", within=10)
    assert marked(folder.path) == []
