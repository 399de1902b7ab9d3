"""A job that waited finds the folder of its run with another one's training: nothing of it is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_tui.core.plan import Output, PlannedFile, Step
from sft_tui.jobs import client


@pytest.fixture
def plan_of(lab):
    """plan_of("lr: 1"): data is made in the working folder, a training with that YAML runs in runs/run1."""
    run = lab.work / "runs" / "run1"

    def make(text, script="mkdir -p checkpoint/rank_0; cp train.yaml checkpoint/rank_0/a.ckpt"):
        train = Step(
            id="train", title="Train", argv=("sh", "-c", script), cwd=str(run), inputs=(str(run / "train.yaml"),),
            outputs=(Output(path=str(run / "checkpoint"), kind="checkpoint_folder"),),
        )  # fmt: skip
        data = lab.step("data", "echo made >> data", outputs=("data",))
        return lab.plan(data, train, files=(PlannedFile(path=f"{run}/train.yaml", text=text),))

    make.run = run
    return make


def _submit(lab, plan, **more):
    return client.submit(lab.jobs_dir, plan, stop_grace_seconds=1.0, **more)


def _both(lab, plan_of, eventually, **more):
    """A job that trains when it is let go, and one with other settings that waits for it."""
    go = lab.work / "go"
    script = f"while ! test -e {go}; do sleep 0.02; done; mkdir -p checkpoint/rank_0; echo 1 > checkpoint/rank_0/a.ckpt"
    first = _submit(lab, plan_of("lr: 1\n", script))
    lab.step_runs(first, "train")
    second = _submit(lab, plan_of("lr: 2\n"), after=(first.id,), **more)
    eventually(lambda: second.load_state().waits_for, "it waits")
    go.touch()
    assert lab.wait(first).outcome == "succeeded"
    return lab.wait(second)


def test_other_settings_in_the_folder_of_a_run_end_the_job_that_waited(lab, plan_of, eventually):
    state = _both(lab, plan_of, eventually)
    assert (state.outcome, state.exit_code) == ("failed", 2)
    assert str(plan_of.run) in state.reason and "other settings" in state.reason
    assert "run_name" in state.hint and "--into" in state.hint
    assert (state.step("train").status, state.step("train").exit_code) == ("failed", 2)
    assert Path(plan_of.run / "train.yaml").read_text() == "lr: 1\n", "as the first has it"
    assert (plan_of.run / "checkpoint/rank_0/a.ckpt").read_text() == "1\n"


def test_who_wanted_it_written_over_gets_that(lab, plan_of, eventually):
    state = _both(lab, plan_of, eventually, into=True)
    assert (state.outcome, state.exit_code) == ("succeeded", 0)
    assert (plan_of.run / "checkpoint/rank_0/a.ckpt").read_text() == "lr: 2\n"


def test_what_ends_before_the_run_leaves_its_folder_as_it_is(lab, plan_of):
    assert lab.wait(_submit(lab, plan_of("lr: 1\n"))).outcome == "succeeded"
    state = lab.wait(_submit(lab, plan_of("lr: 2\n"), from_step="data", until_step="data"))
    assert state.outcome == "succeeded" and (lab.work / "data").read_text() == "made\nmade\n"
    assert Path(plan_of.run / "train.yaml").read_text() == "lr: 1\n"


def test_a_run_that_left_no_checkpoint_and_the_same_settings_are_in_nobodys_way(lab, plan_of):
    assert lab.wait(_submit(lab, plan_of("lr: 1\n", "exit 1"))).outcome == "failed"
    for _ in range(2):
        assert lab.wait(_submit(lab, plan_of("lr: 2\n"), from_step="train")).outcome == "succeeded"
