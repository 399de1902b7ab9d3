"""Why a step ended, what is left after a stop, and what must never be written down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sft_tui.core.job import StepExit
from sft_tui.core.plan import Output
from sft_tui.jobs import client
from sft_tui.jobs.evidence.machine_evidence import MEMORY_HINT
from sft_tui.metrics.store import iterate_metrics

# --- exits


def read_exit(folder, step):
    return StepExit.model_validate_json(folder.step_exit(step).read_text(encoding="utf-8"))


def test_every_step_that_ran_has_an_exit_record(lab):
    folder, _ = lab.run(
        lab.step("one", "exit 0"),
        lab.step("two", "true", not_needed="for a reason"),
        lab.step("three", "kill -KILL $$"),
    )
    one, three = read_exit(folder, "one"), read_exit(folder, "three")
    assert (one.schema_version, one.status, one.exit_code, one.signal, one.left_running) == (1, "done", 0, "", ())
    assert (three.status, three.exit_code, three.signal) == ("failed", -signal.SIGKILL, "SIGKILL")
    assert "killed by SIGKILL" in three.reason
    assert 0 <= one.seconds < 20 and one.cpu_seconds >= 0
    assert sorted(p.name for p in (folder.path / "exits").iterdir()) == ["one.json", "three.json"]


def test_the_time_that_a_step_took_is_that_of_a_steady_clock(lab):
    folder, _ = lab.run(lab.step("one", "sleep 0.3; python3 -c 'sum(range(3000000))'"))
    record = read_exit(folder, "one")
    assert record.seconds >= 0.3
    assert record.cpu_seconds > 0.01


# --- memory


@pytest.fixture
def small_cgroup():
    """A memory cgroup with room for 64 MB, v1 or v2."""
    for parent, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = parent / f"sft-tui-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text("67108864")
        except OSError:
            continue
        yield group
        for _ in range(100):  # its processes take a moment to go
            try:
                group.rmdir()
                return
            except OSError:
                time.sleep(0.05)
        return
    pytest.skip("no memory cgroup can be made here")


EAT = "python3 -c 'x = bytearray(300 << 20); x[::4096] = b\"1\" * len(x[::4096])'"


def test_a_worker_that_the_kernel_killed_for_memory_is_told_from_one_that_failed(lab, small_cgroup):
    script = f"(echo $(sh -c 'echo $PPID') > {small_cgroup}/cgroup.procs; exec {EAT}) || exit 9"
    _, state = lab.run(lab.step("one", script))
    assert state.outcome == "failed"
    assert state.reason.startswith("step one: the kernel killed"), state.reason
    assert "for memory" in state.reason and "exit code 9" in state.reason
    assert MEMORY_HINT in state.hint


def test_a_step_that_fails_by_itself_was_not_killed_for_memory(lab):
    _, state = lab.run(lab.step("one", "exit 9"))
    assert "memory" not in state.reason + state.hint


# --- disk


def test_a_step_that_fails_on_a_full_disk_says_which(lab, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        step = lab.step("one", f"head -c 1000000 /dev/zero > {place}/out")
        _, state = lab.run(step.model_copy(update={"outputs": (Output(path=f"{place}/out", kind="conversation"),)}))
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    assert f"the disk is full: {place}" in state.reason
    assert "Make room" in state.hint


# --- secrets


def test_secrets_reach_the_step_and_no_file(lab):
    token = "hf_" + "x7Q" * 9
    step = lab.step("one", 'test "$HF_TOKEN" = "$EXPECTED_TAIL"; echo "${#HF_TOKEN} $PLAIN"', env={"HF_TOKEN": token})
    step = step.model_copy(update={"env": {**step.env, "PLAIN": "seen"}})
    folder, state = lab.run(step)
    assert folder.step_log("one").read_text() == f"{len(token)} seen\n"
    for path in lab.home.rglob("*"):
        if path.is_file():
            assert token not in path.read_text(errors="replace"), path
    assert state.outcome == "succeeded"
    event = next(e for e in folder.read_events()[0] if e.kind == "step_started")
    assert 'HF_TOKEN="$HF_TOKEN"' in event.data["command"]


def test_secrets_are_in_no_list_of_processes(lab):
    token = "hf_" + "y8R" * 9
    folder = lab.submit(lab.step("one", "sleep 60", env={"MY_PASSWORD": token}))
    lab.step_runs(folder, "one")
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert token not in listing
    client.stop(folder)


# --- stages of a stop

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"


def test_a_stop_counts_down_kills_and_says_that_nothing_is_left(lab, eventually):
    folder = lab.submit(lab.step("one", STUBBORN))
    lab.step_runs(folder, "one")
    eventually(lambda: folder.step_log("one").read_text() == "up\n", "the trap is set")
    client.stop(folder)
    stopping = eventually(lambda: (s := client.read_state(folder)).lifecycle == "stopping" and s, "it is stopping")
    assert stopping.countdown(stopping.stop_by - 0.5) == "what still runs is killed in 1 s"
    assert stopping.countdown(stopping.stop_by + 1) == "killing what still runs"
    state = lab.wait(folder)
    assert state.notes == ("after the stop no process of the step was left",)
    assert state.countdown(time.time()) == ""
    assert [e.kind for e in folder.read_events()[0]][2:] == [
        "stop_asked", "kill_sent", "stop_checked", "step_finished", "job_finished",
    ]  # fmt: skip


def test_a_stop_at_once_does_not_wait(lab, sft, eventually):
    step = lab.step("one", STUBBORN)
    folder = client.submit(lab.jobs_dir, lab.plan(step), stop_grace_seconds=3600.0)
    eventually(lambda: folder.step_log("one").is_file() and folder.step_log("one").read_text(), "the trap is set")
    client.stop(folder)
    eventually(lambda: client.read_state(folder).lifecycle == "stopping", "it is asked to stop")
    result = sft("jobs", "stop", folder.id, "--now")
    assert result.returncode == 0, result.stderr
    assert "no process of the step was left" in result.stdout
    assert lab.wait(folder).step("one").exit_code == -signal.SIGKILL


LINE = "Epoch:[  1/  1], step:[    {}/    9], loss:[1.5/1.5], per_step_time: 12ms, lr: 0.1"


def test_a_training_is_asked_by_its_file_to_save_and_is_not_signalled(lab, eventually):
    request = lab.work / "graceful_exit.json"
    request.write_text('{"GracefulExit": 1}')  # of an earlier stop: it must not end this one
    script = (
        f"trap 'touch signalled' TERM; echo '{LINE.format(1)}'; "
        "while [ ! -e graceful_exit.json ]; do sleep 0.05; done; cat graceful_exit.json; exit 0"
    )
    folder = lab.submit(lab.step("one", script, graceful_exit=str(request)))
    eventually(lambda: any(iterate_metrics(folder.metrics)), "it trains")
    client.stop(folder)
    state = lab.wait(folder)
    assert (state.outcome, state.step("one").exit_code) == ("stopped", 0)
    assert '"GracefulExit": 1' in folder.step_log("one").read_text()
    assert not (lab.work / "signalled").exists()
    asked = next(e for e in folder.read_events()[0] if e.kind == "stop_asked")
    assert asked.data["saves"] is True


def test_before_the_first_step_of_training_there_is_nothing_to_save(lab, eventually):
    script = "trap 'touch signalled; exit 1' TERM; echo up; while :; do sleep 0.05; done"
    folder = lab.submit(lab.step("one", script, graceful_exit=str(lab.work / "graceful_exit.json")))
    eventually(lambda: folder.step_log("one").is_file() and folder.step_log("one").read_text(), "the trap is set")
    client.stop(folder)
    assert lab.wait(folder).outcome == "stopped"
    assert (lab.work / "signalled").exists()


def test_a_training_that_was_complete_when_it_was_stopped_is_done(lab, eventually):
    script = f"echo '{LINE.format(9)}'; echo saved > out; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    folder = lab.submit(lab.step("one", script, outputs=("out",)), lab.step("two", "true"))
    eventually(lambda: any(iterate_metrics(folder.metrics)), "it trains")
    client.stop(folder)
    state = lab.wait(folder)
    assert state.outcome == "stopped"
    assert [s.status for s in state.steps] == ["done", "todo"]


# --- device memory, with a stub of npu-smi that prints a real table

TABLE = Path(__file__).parents[2] / "data" / "npu_smi" / "info_25.5.1_910B2C_single_visible_id2.txt"


def stub_npu_smi(folder, used):
    """An `npu-smi` that says what the file `used` holds."""
    folder.mkdir(exist_ok=True)
    script = folder / "npu-smi"
    script.write_text(f'#!/bin/sh\nsed "s/@USED@/$(cat {used})/" {folder}/table\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(("after", "told"), [("3000", "the memory of NPU 2 is free again"), ("60000", "still holds")])
def test_after_a_stop_device_memory_is_looked_at(lab, monkeypatch, eventually, tmp_path, after, told):
    text = TABLE.read_text()
    found = next(line for line in text.splitlines() if "/ 65536" in line)
    before, _, rest = found.rpartition("/ 65536")
    start = before.rstrip().rpartition(" ")[0]
    tools, used = tmp_path / "tools", tmp_path / "used"
    stub_npu_smi(tools, used)
    (tools / "table").write_text(text.replace(found, f"{start} @USED@/ 65536{rest}"))
    used.write_text("3000")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr("sft_tui.jobs.evidence.device_memory.RELEASE_SECONDS", 1.0)
    from sft_tui.jobs.evidence.device_memory import DeviceMemory

    memory = DeviceMemory(("npu:2",))
    used.write_text(after)
    assert told in memory.describe_release()
    assert memory.held is (told == "still holds")

    used.write_text("3000")
    folder = lab.submit(lab.step("one", "sleep 60", devices=("npu:2",)))
    lab.step_runs(folder, "one")
    client.stop(folder)
    assert lab.wait(folder).notes == (
        "after the stop no process of the step was left; the memory of NPU 2 is free again",
    )


# --- the command line


def test_the_last_word_of_a_step_that_was_killed_is_not_taken_for_the_reason(lab):
    _, state = lab.run(lab.step("one", "echo 'INFO - 78.7 % |████   | 0:00:02'; kill -KILL $$"))
    assert state.reason == "step one: killed by SIGKILL"


def test_an_error_is_one_json_object_too(lab, sft):
    result = sft("jobs", "show", "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"] == "There are no jobs yet."


def test_without_a_name_the_job_that_runs_is_meant_not_one_that_waits(lab, sft):
    running = lab.submit(lab.step("one", "sleep 60"))
    lab.step_runs(running, "one")
    step = lab.step("one", "true").model_copy(update={"cwd": str(lab.home / "other")})
    waiting = client.submit(lab.jobs_dir, lab.plan(step, profile="other"), after=(running.id,))
    assert json.loads(sft("jobs", "show", "--json").stdout)["id"] == running.id
    assert sft("jobs", "stop").returncode == 0
    assert lab.wait(running).outcome == "stopped"
    client.stop(waiting)


def test_ctrl_c_ends_the_watching_not_the_job(lab, eventually):
    waiting_job = lab.submit(lab.step("one", "sleep 60"))
    lab.step_runs(waiting_job, "one")
    step = lab.step("one", "true").model_copy(update={"cwd": str(lab.home / "other")})
    follower = client.submit(lab.jobs_dir, lab.plan(step, profile="other"), after=(waiting_job.id,))
    command = [sys.executable, "-m", "sft_tui", "jobs", "wait", follower.id]
    waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert "to succeed" in waiting.stderr.readline()  # it says for what it waits, and is watching by now
    waiting.send_signal(signal.SIGINT)
    assert f"job {follower.id} goes on" in waiting.communicate(timeout=20)[1]
    assert not client.read_state(follower).finished
    client.stop(follower)
    client.stop(waiting_job)
