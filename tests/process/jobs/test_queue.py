"""Who goes first: jobs that need the same devices, jobs that come after others, and jobs that are held."""

from __future__ import annotations

import os
import signal

import pytest

from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client


@pytest.fixture
def on_device(lab):
    """Submits a job of one step that uses devices, for a profile with a working folder of its own."""

    def submit(profile, script, devices=("npu:0",), **options):
        work = lab.home / profile
        work.mkdir(exist_ok=True)
        step = lab.step("train", script, devices=devices).model_copy(update={"cwd": str(work)})
        return client.submit(lab.jobs_dir, lab.plan(step, profile=profile), stop_grace_seconds=1.0, **options)

    return submit


@pytest.fixture
def waits(eventually):
    """Waits until a job waits, and returns its state."""

    def look(folder):
        def waiting():
            state = client.read_state(folder)
            return state if state.lifecycle == "queued" and state.waits_for else None

        return eventually(waiting, f"{folder.id} waits")

    return look


HOLD = "while [ ! -e go ]; do sleep 0.05; done"


def test_jobs_on_one_device_run_one_after_the_other_in_their_order(lab, on_device, waits):
    note = f"echo start >> {lab.home}/order; {HOLD}; echo end >> {lab.home}/order"
    first = on_device("a", note)
    lab.step_runs(first, "train")
    second = on_device("b", f"echo b >> {lab.home}/order", devices=("npu:0", "npu:1"))
    third = on_device("c", f"echo c >> {lab.home}/order", devices=("npu:1",))
    state = waits(second)
    assert state.waits_for == (first.id,)
    assert state.reason == f"waits for job {first.id}, which uses NPU 0"
    assert waits(third).waits_for == (second.id,)
    (lab.home / "a" / "go").touch()
    assert [lab.wait(job).outcome for job in (first, second, third)] == ["succeeded"] * 3
    assert (lab.home / "order").read_text().split() == ["start", "end", "b", "c"]
    assert "job_waits" in [e.kind for e in second.read_events()[0]]
    assert client.read_state(second).waits_for == ()


def test_jobs_on_other_devices_and_without_any_do_not_wait(lab, on_device):
    first = on_device("a", HOLD)
    lab.step_runs(first, "train")
    others = [on_device("b", "true", devices=("npu:1",)), on_device("c", "true", devices=())]
    assert [lab.wait(job).outcome for job in others] == ["succeeded"] * 2
    assert not client.read_state(first).finished


def test_a_failed_job_frees_its_device(lab, on_device, waits):
    first = on_device("a", f"{HOLD}; exit 3")
    lab.step_runs(first, "train")
    second = on_device("b", "true")
    waits(second)
    (lab.home / "a" / "go").touch()
    assert lab.wait(first).outcome == "failed"
    assert lab.wait(second).outcome == "succeeded"


def test_what_is_left_of_a_lost_job_keeps_its_device(lab, on_device, waits):
    first = on_device("a", "echo $$ > pid; exec sleep 60")
    leader = lab.kill_supervisor(first, "train").step("train").process
    second = on_device("b", "true")
    assert f"left of the lost job {first.id}" in waits(second).reason
    os.kill(leader.pid, signal.SIGKILL)
    assert lab.wait(second).outcome == "succeeded"


def test_after_waits_for_success(lab, on_device, waits):
    first = on_device("a", HOLD, devices=())
    second = on_device("b", f"test -e {lab.home}/a/go", devices=(), after=(first.id,))
    assert waits(second).reason == f"waits for job {first.id} to succeed"
    (lab.home / "a" / "go").touch()
    assert lab.wait(second).outcome == "succeeded"


def test_after_a_job_that_has_succeeded_starts_at_once(lab, on_device):
    first = on_device("a", "true", devices=())
    lab.wait(first)
    assert lab.wait(on_device("b", "true", devices=(), after=("1",))).outcome == "succeeded"


@pytest.mark.parametrize("end", ["failed", "stopped", "lost"])
def test_a_job_without_success_holds_its_followers_until_it_is_run_again(lab, on_device, waits, eventually, end):
    first = on_device("a", f"{HOLD}; exit 3", devices=())
    lab.step_runs(first, "train")
    second = on_device("b", "touch ran", devices=(), after=(first.id,))
    third = on_device("c", "touch ran", devices=(), after=(second.id,))
    waits(third)
    if end == "failed":
        (lab.home / "a" / "go").touch()
    elif end == "stopped":
        client.stop(first)
    else:
        lab.kill_supervisor(first, "train")
    held = eventually(lambda: (s := client.read_state(second)).held and s, "the follower is held")
    assert held.lifecycle == "queued"
    verb = {"failed": "has failed", "stopped": "was stopped", "lost": "is lost"}[end]
    assert held.reason.startswith(f"held: job {first.id}, which it waits for, {verb}")
    assert "sft-tui run a" in held.hint and f"sft-tui jobs stop {second.id}" in held.hint
    assert client.read_state(third).lifecycle == "queued"
    assert not (lab.home / "b" / "ran").exists()

    client.stop(first)  # ends what is left of a lost one
    (lab.home / "a" / "go").touch()
    again = on_device("a", "true", devices=())
    assert [lab.wait(job).outcome for job in (again, second, third)] == ["succeeded"] * 3


def test_a_held_job_does_not_stand_in_the_way_of_others(lab, on_device, eventually):
    first = on_device("a", "exit 1", devices=())
    lab.wait(first)
    held = on_device("b", "true", after=(first.id,))
    eventually(lambda: client.read_state(held).held, "it is held")
    assert lab.wait(on_device("c", "true")).outcome == "succeeded"


def test_a_waiting_job_can_be_stopped_and_starts_nothing(lab, on_device, waits):
    first = on_device("a", HOLD)
    lab.step_runs(first, "train")
    second = on_device("b", "touch ran")
    waits(second)
    assert client.stop(second)
    state = lab.wait(second)
    assert (state.outcome, state.started_at) == ("stopped", None)
    assert [s.status for s in state.steps] == ["todo"]
    (lab.home / "a" / "go").touch()
    assert lab.wait(first).outcome == "succeeded"
    assert not (lab.home / "b" / "ran").exists()


def test_the_same_profile_may_be_queued_behind_itself_but_not_beside(lab, on_device, waits):
    first = on_device("a", f"{HOLD}; echo x >> runs")
    lab.step_runs(first, "train")
    with pytest.raises(InvalidInputError, match="runs already") as refused:
        on_device("a", "true")
    assert f"--after {first.id}" in refused.value.hint
    second = on_device("a", "echo x >> runs", after=(first.id,))
    waits(second)
    with pytest.raises(InvalidInputError, match="is queued already"):
        on_device("a", "true", after=(first.id,))
    third = on_device("a", "echo x >> runs", after=(second.id,))
    (lab.home / "a" / "go").touch()
    assert [lab.wait(job).outcome for job in (first, second, third)] == ["succeeded"] * 3
    assert (lab.home / "a" / "runs").read_text().split() == ["x"] * 3


def test_after_a_job_that_does_not_exist_is_refused(lab, on_device):
    with pytest.raises(InvalidInputError, match="no job '9'"):
        on_device("a", "true", after=("9",))


def test_a_waiting_supervisor_that_is_killed_is_lost_and_its_turn_goes_to_the_next(lab, on_device, waits):
    first = on_device("a", HOLD)
    lab.step_runs(first, "train")
    second, third = on_device("b", "touch ran"), on_device("c", "true")
    os.kill(waits(second).supervisor.pid, signal.SIGKILL)
    assert lab.wait(second).outcome == "lost"
    (lab.home / "a" / "go").touch()
    assert lab.wait(third).outcome == "succeeded"
    assert not (lab.home / "b" / "ran").exists()


def test_a_failed_predecessor_can_be_run_again_on_the_device_that_its_follower_needs(lab, on_device, eventually):
    """The follower is older than the job that it waits for now: it must not make that one wait."""
    first = on_device("a", "exit 1")
    lab.wait(first)
    follower = on_device("b", "true", after=(first.id,))
    eventually(lambda: client.read_state(follower).held, "the follower is held")
    blocker = on_device("c", HOLD)
    lab.step_runs(blocker, "train")
    again = on_device("a", "true")
    eventually(lambda: client.read_state(follower).waits_for == (again.id,), "the follower waits for it")
    (lab.home / "c" / "go").touch()
    assert [lab.wait(job).outcome for job in (again, follower)] == ["succeeded"] * 2


def test_a_job_behind_one_that_comes_to_be_held_starts(lab, on_device, waits):
    first = on_device("a", f"{HOLD}; exit 1", devices=())
    lab.step_runs(first, "train")
    follower = on_device("b", "true", after=(first.id,))
    waits(follower)
    assert lab.wait(on_device("c", "true")).outcome == "succeeded"


def test_a_part_of_what_failed_does_not_release_its_followers(lab, eventually):
    steps = (lab.step("one", "true"), lab.step("two", "test -e ok"))
    failed, _ = lab.run(*steps)
    other = lab.step("one", "touch ran").model_copy(update={"cwd": str(lab.home / "other")})
    follower = client.submit(lab.jobs_dir, lab.plan(other, profile="other"), after=(failed.id,))
    eventually(lambda: client.read_state(follower).held, "it is held")
    lab.run(*steps, until_step="one")
    (lab.work / "ok").touch()
    assert client.read_state(follower).lifecycle == "queued"
    lab.run(*steps)
    assert lab.wait(follower).outcome == "succeeded"


def test_behind_another_profile_the_own_running_job_is_still_in_the_way(lab, on_device):
    own = on_device("a", HOLD, devices=())
    other = on_device("b", HOLD, devices=())
    lab.step_runs(own, "train")
    with pytest.raises(InvalidInputError, match=f"runs already as job {own.id}"):
        on_device("a", "true", devices=(), after=(other.id,))
