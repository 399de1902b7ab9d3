"""From which checkpoint a training of the direct route can go on; the rest is in tests/process/jobs."""

from __future__ import annotations

import pytest

from sft_tui.core.plan import Step
from sft_tui.files.stamps import signature
from sft_tui.jobs import completion
from sft_tui.jobs.resume import newest_of_interrupted
from tests.unit.saved_training import SavingTraining


@pytest.fixture
def begun(tmp_path):
    """A training with so many workers that has begun and has not ended."""

    def begin(workers=1, total_steps=0):
        step = Step(
            id="train", title="Fine-tune", argv=("true",), cwd=str(tmp_path), workers=workers,
            checkpoint_dir=str(tmp_path / "checkpoint"), total_steps=total_steps,
        )  # fmt: skip
        before = {step.checkpoint_dir: signature(tmp_path / "checkpoint")}
        completion.note_begin(completion.records_dir(step), step, "1-p", {}, before, keep_earlier=False)
        return step

    return begin


def test_the_state_with_most_steps_counts_after_a_resumption_too(tmp_path, begun):
    training = SavingTraining(tmp_path, epoch=35, every=27)
    training.train(0, 105)  # an earlier training, which is done
    step = begun()
    training.train(0, 47)
    training.train(47, 105)
    point = newest_of_interrupted(step)
    path = str(tmp_path / "checkpoint/rank_0/sft_rank_0_2-3_23.safetensors")
    assert (point.done, point.checkpoint) == (105, path)
    assert point.arguments == ("--load_checkpoint", path, "--resume_training", "True")


def test_all_ranks_must_have_it_whole(tmp_path, begun):
    ranks = [SavingTraining(tmp_path, epoch=10, every=4, rank=rank) for rank in (0, 1)]
    step = begun(workers=2)
    for rank in ranks:
        rank.train(0, 12)
    assert newest_of_interrupted(step).done == 12
    for rank, last in zip(ranks, ("2_2", "1_8")):
        torn = next(rank.whole.glob(f"*-{last}.safetensors"))
        torn.write_bytes(torn.read_bytes()[:-3])
    point = newest_of_interrupted(step)
    assert point.done == 4
    assert point.arguments == (
        "--load_checkpoint", str(tmp_path / "checkpoint"), "--resume_training", "sft_rank_0-1_4.safetensors",
        "--auto_trans_ckpt", "False",
    )  # fmt: skip


def test_a_training_that_was_killed_after_its_last_step_does_the_last_steps_again(tmp_path, begun):
    """Its last checkpoint is whole, but the weights alone are missing: with no step left to do they stay so."""
    step = begun(total_steps=12)
    SavingTraining(tmp_path, epoch=10, every=4).train(0, 12)
    assert newest_of_interrupted(step).done == 8
