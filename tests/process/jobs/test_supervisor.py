"""What a job leaves and says, whatever happens to its steps, its supervisor and its submitter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sft_tui.core.plan import PlannedFile
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs import client, process
from sft_tui.metrics.store import iterate_metrics


def kinds(folder):
    return [e.kind for e in folder.read_events()[0]]


def edit_state(folder, change):
    path = folder.path / "state.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


# --- the ordinary ways to end


def test_success_is_exit_code_zero_and_the_outputs(lab):
    file = PlannedFile(path=str(lab.work / "deep" / "config.yaml"), text="a: 1\n")
    plan = lab.plan(
        lab.step("one", "cat deep/config.yaml > out", outputs=("out",)), lab.step("two", "true"), files=(file,)
    )
    folder = client.submit(lab.jobs_dir, plan)
    state = lab.wait(folder)
    assert (state.lifecycle, state.outcome, state.reason) == ("finished", "succeeded", "")
    assert [s.status for s in state.steps] == ["done", "done"]
    assert (lab.work / "out").read_text() == "a: 1\n"
    assert kinds(folder) == ["job_started", *["step_started", "step_finished"] * 2, "job_finished"]


def test_a_failed_step_says_why_and_the_later_ones_stay_to_do(lab):
    script = "echo starting; echo 'ValueError: no such tokenizer' >&2; exit 7"
    folder, state = lab.run(lab.step("one", script), lab.step("two", "touch never"))
    assert state.outcome == "failed"
    assert state.reason == "step one: exit code 7: ValueError: no such tokenizer"
    assert [s.status for s in state.steps] == ["failed", "todo"]
    assert state.step("one").exit_code == 7
    assert not (lab.work / "never").exists()
    assert folder.id in state.hint


def test_a_step_killed_by_a_signal_says_which(lab):
    _, state = lab.run(lab.step("one", "kill -SEGV $$"))
    assert "killed by SIGSEGV" in state.reason


def test_exit_code_zero_without_the_output_is_a_failure(lab):
    _, state = lab.run(lab.step("one", "true", outputs=("wanted",)))
    assert state.outcome == "failed"
    assert f"{lab.work}/wanted is missing or empty" in state.reason


def test_a_program_that_does_not_exist(lab):
    step = lab.step("one", "").model_copy(update={"argv": ("/no/such/program",)})
    _, state = lab.run(step)
    assert state.outcome == "failed"
    assert "/no/such/program could not be started" in state.reason
    assert state.step("one").status == "failed"


def test_a_working_folder_that_cannot_be_made_fails_the_step_not_the_supervisor(lab):
    (lab.work / "file").write_text("in the way")
    step = lab.step("one", "true").model_copy(update={"cwd": str(lab.work / "file" / "below")})
    _, state = lab.run(step)
    assert (state.outcome, state.step("one").status) == ("failed", "failed")


def test_files_are_for_the_user_alone(lab):
    old = os.umask(0)
    try:
        folder, _ = lab.run(lab.step("one", "echo hello", outputs=()))
    finally:
        os.umask(old)
    assert folder.step_log("one").read_text() == "hello\n"
    for path in [lab.jobs_dir, folder.path, *folder.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_loss_that_is_not_a_number_stays_one(lab):
    line = "Epoch:[  1/  1], step:[    1/    2], loss:[nan/nan], per_step_time: 12ms, lr: 0.1, global_norm: [inf]"
    folder, _ = lab.run(lab.step("one", f"echo '{line}'"))
    [point] = iterate_metrics(folder.metrics)
    assert point.loss != point.loss
    assert point.global_norm == float("inf")
    signs = [e.data["kind"] for e in folder.read_events()[0] if e.kind == "watch_out"]
    assert signs == ["loss_not_finite"]


def test_until_stops_after_the_step(lab):
    _, state = lab.run(lab.step("one", "true"), lab.step("two", "touch never"), until_step="one")
    assert state.outcome == "succeeded"
    assert [s.status for s in state.steps] == ["done", "todo"]


# --- going on


def test_what_is_done_and_unchanged_is_not_done_again(lab):
    (lab.work / "in").write_text("1")
    steps = (
        lab.step("one", "cat in >> out", outputs=("out",), inputs=(str(lab.work / "in"),)),
        lab.step("two", "echo run >> count"),
    )
    first, _ = lab.run(*steps)
    folder, state = lab.run(*steps)
    assert [s.status for s in state.steps] == ["skipped", "done"]
    assert first.id in state.step("one").reason
    assert (lab.work / "out").read_text() == "1"
    assert "step_skipped" in kinds(folder)

    (lab.work / "in").write_text("23")
    _, state = lab.run(*steps)
    assert state.step("one").status == "done"
    assert (lab.work / "out").read_text() == "123"

    _, state = lab.run(*steps, from_step="one")
    assert state.step("one").status == "done"

    (lab.work / "out").unlink()
    _, state = lab.run(*steps)
    assert state.step("one").status == "done"


def test_from_a_step_that_is_not_needed_forces_the_ones_after_it(lab):
    steps = (lab.step("one", "true", not_needed="for a reason"), lab.step("two", "echo x >> out", outputs=("out",)))
    lab.run(*steps)
    _, state = lab.run(*steps, from_step="one")
    assert [s.status for s in state.steps] == ["not_needed", "done"]
    assert state.step("one").reason == "for a reason"


def test_an_input_that_changes_while_its_step_runs_is_read_again_by_the_next_run(lab):
    (lab.work / "in").write_text("1")
    step = lab.step("one", "cat in > out; echo 22 > in", outputs=("out",), inputs=(str(lab.work / "in"),))
    lab.run(step)
    _, state = lab.run(step)
    assert state.step("one").status == "done"


def test_an_unknown_step_and_an_order_that_makes_no_sense_are_refused(lab):
    with pytest.raises(InvalidInputError, match="'three'"):
        lab.submit(lab.step("one", "true"), from_step="three")
    with pytest.raises(InvalidInputError, match="one comes before"):
        lab.submit(lab.step("one", "true"), lab.step("two", "true"), from_step="two", until_step="one")
    assert client.running_job(lab.jobs_dir, "p") is None


# --- who dies


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_the_submitters_death_is_not_noticed(lab, eventually, number):
    step = lab.step("one", "while [ ! -e go ]; do sleep 0.05; done; echo done > out", outputs=("out",))
    submitter = lab.submit_elsewhere(lab.plan(step))
    assert submitter.stdout.readline() == b"submitted\n"
    folder = client.running_job(lab.jobs_dir, "p")
    state = lab.step_runs(folder, "one")
    os.killpg(submitter.pid, number)
    submitter.communicate()
    os.kill(state.supervisor.pid, signal.SIGHUP)
    os.kill(state.supervisor.pid, signal.SIGINT)
    assert client.read_state(folder).lifecycle == "running"
    (lab.work / "go").touch()
    assert lab.wait(folder).outcome == "succeeded"


def test_the_supervisor_is_in_a_session_of_its_own_and_nobodys_child(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    pid = lab.step_runs(folder, "one").supervisor.pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, session = int(fields[1]), int(fields[3])
    assert parent != os.getpid()
    assert session not in (os.getsid(0), pid)  # not a leader either: it can never get a terminal


def test_a_killed_supervisor_reads_as_lost_and_what_is_left_can_be_stopped(lab, is_running):
    script = "setsid sh -c 'trap \"\" TERM; echo $$ > grandchild; while :; do sleep 0.1; done' & wait"
    steps = (lab.step("one", script), lab.step("two", "true"))
    folder = lab.submit(*steps)
    grandchild = lab.pid_in("grandchild")
    leader = lab.kill_supervisor(folder, "one").step("one").process

    state = client.read_state(folder)
    assert (state.lifecycle, state.outcome) == ("finished", "lost")
    assert f"step one still runs as process {leader.pid}" in state.reason
    assert f"sft-tui jobs stop {folder.id}" in state.hint
    assert state.step("one").status == "failed"
    with pytest.raises(InvalidInputError, match=str(leader.pid)):  # nothing runs twice
        lab.submit(*steps)

    assert client.stop(folder)
    assert not is_running(leader.pid)
    assert not is_running(grandchild)
    assert "still runs" not in client.read_state(folder).reason
    assert not client.stop(folder)
    _, state = lab.run(lab.step("one", "true"))
    assert state.outcome == "succeeded"


def test_workers_that_outlive_leader_and_supervisor_are_found(lab, eventually, is_running):
    folder = lab.submit(lab.step("one", "setsid sh -c 'echo $$ > worker; exec sleep 60' & wait"))
    worker = lab.pid_in("worker")
    leader = lab.kill_supervisor(folder, "one").step("one").process
    os.kill(leader.pid, signal.SIGKILL)
    eventually(lambda: not is_running(leader.pid), "the leader is dead")
    eventually(lambda: f"process {worker}" in client.read_state(folder).reason, "the worker is named")
    assert client.stop(folder)
    assert not is_running(worker)


def test_a_step_that_was_started_but_not_noted_yet_is_found(lab, is_running):
    """The supervisor died in the moment between the start of a step and the note of its pid."""
    folder = lab.submit(lab.step("one", "sleep 60"))
    leader = lab.kill_supervisor(folder, "one").step("one").process
    edit_state(folder, lambda data: data["steps"][0].update(process=None))
    assert f"process {leader.pid}" in client.read_state(folder).reason
    with pytest.raises(InvalidInputError, match=str(leader.pid)):
        lab.submit(lab.step("one", "true"))
    assert client.stop(folder)
    assert not is_running(leader.pid)


def test_a_running_step_does_not_make_a_dead_supervisor_look_alive(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    state = lab.step_runs(folder, "one")
    lock = os.stat(folder.lock)
    held = [os.stat(p) for p in Path(f"/proc/{state.step('one').process.pid}/fd").iterdir()]
    assert (lock.st_dev, lock.st_ino) not in [(h.st_dev, h.st_ino) for h in held]
    lab.kill_supervisor(folder, "one")
    assert client.read_state(folder).outcome == "lost"


def test_a_supervisor_that_could_not_start_reads_as_lost(lab, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    folder = lab.submit(lab.step("one", "true"))
    state = client.read_state(folder)
    assert (state.outcome, state.step("one").status) == ("lost", "todo")
    assert not client.stop(folder)


def test_a_deleted_job_folder_does_not_leave_a_supervisor_for_ever(lab, eventually):
    folder = lab.submit(lab.step("one", "while [ ! -e go ]; do sleep 0.05; done"))
    supervisor = lab.step_runs(folder, "one").supervisor
    shutil.rmtree(folder.path)
    (lab.work / "go").touch()
    eventually(lambda: not process.is_alive(supervisor), "the supervisor ends")


# --- identity


def test_a_pid_that_belongs_to_somebody_else_is_never_signalled(lab):
    folder = lab.submit(lab.step("one", "exec sleep 60"))
    leader = lab.kill_supervisor(folder, "one").step("one").process

    def earlier(data):
        data["steps"][0]["process"]["start_ticks"] -= 1

    edit_state(folder, earlier)
    state = client.read_state(folder)
    assert state.outcome == "lost"
    assert "still runs" not in state.reason
    assert not client.stop(folder)
    assert process.is_alive(leader)


def test_a_worker_is_found_although_the_leaders_pid_belongs_to_somebody_else_by_now(lab, is_running):
    folder = lab.submit(lab.step("one", "setsid sh -c 'echo $$ > worker; exec sleep 60' & exec sleep 60"))
    worker = lab.pid_in("worker")
    leader = lab.kill_supervisor(folder, "one").step("one").process
    edit_state(folder, lambda data: data["steps"][0]["process"].update(start_ticks=1))
    assert f"process {worker}" in client.read_state(folder).reason
    assert client.stop(folder)
    assert not is_running(worker)
    assert process.is_alive(leader)


def test_a_supervisor_pid_that_belongs_to_somebody_else_is_never_signalled(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    supervisor = lab.step_runs(folder, "one").supervisor
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        edit_state(folder, lambda data: data["supervisor"].update(pid=bystander.pid))
        with pytest.raises(SftError, match="cannot be reached"):
            client.stop(folder)
        assert bystander.poll() is None
        assert process.is_alive(supervisor)
    finally:
        bystander.kill()
        bystander.wait()


def test_after_a_restart_of_the_machine_the_job_is_lost_and_nothing_is_signalled(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    leader = lab.kill_supervisor(folder, "one").step("one").process

    def other_boot(data):
        data["supervisor"]["boot_id"] = data["steps"][0]["process"]["boot_id"] = "another"

    edit_state(folder, other_boot)
    state = client.read_state(folder)
    assert state.outcome == "lost"
    assert state.reason.startswith("machine restarted at 20")
    assert not client.stop(folder)
    assert process.is_alive(leader)


def test_a_job_of_the_same_number_in_another_home_is_left_alone(lab, tmp_path):
    """Ids count from 1 in every home: what is left of one must not be taken for the other's."""
    elsewhere = lab.step("one", "sleep 60").model_copy(update={"cwd": "/"})
    ours = lab.submit(lab.step("one", "sleep 60"))
    theirs = client.submit(tmp_path / "other-home" / "jobs", lab.plan(elsewhere))
    try:
        assert ours.id == theirs.id
        lab.step_runs(theirs, "one")
        state = lab.kill_supervisor(ours, "one")
        os.kill(state.step("one").process.pid, signal.SIGKILL)
        client.stop(ours)
        assert "still runs" not in client.read_state(ours).reason
        assert client.read_state(theirs).lifecycle == "running"
    finally:
        client.stop(theirs)
    assert client.wait(theirs).outcome == "stopped"
