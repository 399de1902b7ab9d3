"""Stopping a job, what its steps leave behind, two submissions at once, watching, and a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from sft_tui.jobs import client, process
from sft_tui.metrics.points import MetricPoint


def kinds(folder):
    return [e.kind for e in folder.read_events()[0]]


# --- stop


def test_stop_ends_everything_of_the_job_and_nothing_else(lab, is_running):
    script = (
        "setsid sh -c 'trap \"\" TERM; echo $$ > grandchild; while :; do sleep 0.1; done' & "
        "trap '' TERM; while :; do sleep 0.1; done"
    )
    folder = lab.submit(lab.step("one", script), lab.step("two", "touch never"))
    elsewhere = lab.step("one", "sleep 60").model_copy(update={"cwd": "/"})
    other = client.submit(lab.jobs_dir, lab.plan(elsewhere, profile="other"))
    grandchild = lab.pid_in("grandchild")
    leader = lab.step_runs(folder, "one").step("one").process
    bystander = lab.step_runs(other, "one").step("one").process

    assert client.stop(folder)
    state = lab.wait(folder)
    assert (state.outcome, state.reason) == ("stopped", "stopped on request")
    assert [s.status for s in state.steps] == ["stopped", "todo"]
    assert state.step("one").exit_code == -signal.SIGKILL
    assert not is_running(leader.pid)
    assert not is_running(grandchild)
    assert process.is_alive(bystander)
    assert not (lab.work / "never").exists()
    assert not client.stop(folder)
    assert "stop_asked" in kinds(folder)


def test_a_step_that_ends_when_it_is_asked_is_not_killed(lab, eventually):
    folder = lab.submit(lab.step("one", "trap 'touch saved; exit 0' TERM; touch up; while :; do sleep 0.05; done"))
    lab.step_runs(folder, "one")
    eventually(lambda: (lab.work / "up").exists(), "the step is ready to be asked")
    assert client.stop(folder)
    state = lab.wait(folder)
    assert (state.outcome, state.step("one").exit_code) == ("stopped", 0)
    assert (lab.work / "saved").exists()


def test_stop_is_heard_while_a_step_floods_its_log(lab):
    folder = lab.submit(lab.step("one", "yes 'a line that says nothing' | head -c 100000000; sleep 60"))
    lab.step_runs(folder, "one")
    assert client.stop(folder)
    state = lab.wait(folder)
    assert state.outcome == "stopped", state.reason


def test_stop_at_once_after_submission(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    assert client.stop(folder)
    assert lab.wait(folder).outcome == "stopped"


# --- orphans


def test_orphans_of_a_step_are_ended_before_the_next(lab, is_running):
    steps = (
        lab.step("one", "setsid sh -c 'echo $$ > orphan; exec sleep 60' & while [ ! -s orphan ]; do sleep 0.02; done"),
        lab.step("two", "if kill -0 $(cat orphan); then exit 1; fi"),
    )
    _, state = lab.run(*steps)
    assert state.outcome == "succeeded", state.reason
    assert not is_running(lab.pid_in("orphan"))


def test_ended_orphans_do_not_pile_up_while_a_step_runs(lab, eventually):
    script = "for i in 1 2 3 4 5 6 7 8; do (setsid true &); done; touch made; while [ ! -e go ]; do sleep 0.05; done"
    folder = lab.submit(lab.step("one", script))
    state = lab.step_runs(folder, "one")
    children = Path(f"/proc/{state.supervisor.pid}/task/{state.supervisor.pid}/children")
    eventually(lambda: (lab.work / "made").exists(), "the orphans were made")
    eventually(lambda: children.read_text().split() == [str(state.step("one").process.pid)], "zombies are reaped")
    (lab.work / "go").touch()
    assert lab.wait(folder).outcome == "succeeded"


# --- two at once


def test_of_two_submissions_at_the_same_moment_one_runs(lab):
    plan = lab.plan(lab.step("one", "echo run >> runs; sleep 60"))
    submitters = [lab.submit_elsewhere(plan) for _ in range(3)]
    try:
        lines = [s.stdout.readline() for s in submitters]
    finally:
        for submitter in submitters:
            submitter.kill()
    errors = [s.communicate()[1] for s in submitters]
    assert sorted(lines) == [b"", b"", b"submitted\n"]
    assert sum(b"runs already as job" in e for e in errors) == 2
    folder = client.running_job(lab.jobs_dir, "p")
    lab.step_runs(folder, "one")
    assert (lab.work / "runs").read_text() == "run\n"


def test_a_damaged_job_does_not_stand_in_the_way(lab):
    folder, _ = lab.run(lab.step("one", "true"))
    (folder.path / "state.json").write_text("{half")
    _, state = lab.run(lab.step("one", "true"))
    assert state.outcome == "succeeded"


# --- watching


def test_a_watcher_sees_the_same_from_the_start_joined_late_and_after_the_end(lab):
    line = "Epoch:[  1/  1], step:[    {}/    3], loss:[1.5/1.5], per_step_time: 12ms, lr: 0.1"
    loop = f"for i in 1 2 3; do echo '{line}' | sed s/{{}}/$i/; sleep 0.1; done"
    folder = lab.submit(lab.step("one", loop), lab.step("two", "while [ ! -e go ]; do sleep 0.05; done"))
    early, late = client.JobWatch(folder), client.JobWatch(folder)
    seen_early = list(early.look().in_order())
    lab.step_runs(folder, "two")
    seen_late = list(late.look().in_order())
    (lab.work / "go").touch()
    for watch, seen in ((early, seen_early), (late, seen_late)):
        finished = False
        while not finished:
            update = watch.look()
            seen.extend(update.in_order())
            finished = update.state.finished
    after = list(client.JobWatch(folder).look().in_order())
    assert seen_early == seen_late == after
    assert after[-1].kind == "job_finished"
    assert [row.step for row in after if isinstance(row, MetricPoint)] == [1, 2, 3]
    assert [u.state.outcome for u in client.watch(folder)] == ["succeeded"]
    assert client.wait(folder).outcome == "succeeded"


# --- a full disk


@pytest.fixture
def small_jobs_disk(lab):
    """The jobs folder on a file system with room for 512 kB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    lab.jobs_dir.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(lab.jobs_dir)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this container may not mount a tmpfs")
    yield lab.jobs_dir
    subprocess.run(["umount", "-l", str(lab.jobs_dir)], check=True)


def test_a_full_disk_does_not_end_the_job_and_its_end_is_told_once_there_is_room(lab, small_jobs_disk, eventually):
    script = "while [ ! -e go ]; do sleep 0.05; done; touch ended; while [ ! -e on ]; do sleep 0.05; done"
    folder = lab.submit(lab.step("one", script), lab.step("two", "echo two > out", outputs=("out",)))
    before = lab.step_runs(folder, "one")
    filler = small_jobs_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    (lab.work / "go").touch()
    (lab.work / "on").touch()
    eventually(lambda: "not saved" in folder.supervisor_log.read_text() or (lab.work / "out").exists(), "it went on")
    assert client.read_state(folder).lifecycle == "running"
    assert folder.load_state().supervisor == before.supervisor
    filler.unlink()
    state = lab.wait(folder)
    assert state.step("one").status == "done", state.reason
    assert kinds(folder)[0] == "job_started"
    assert kinds(folder)[-1] == "job_finished"
