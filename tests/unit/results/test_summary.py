"""What a run brought, read from logs that MindFormers appends to."""

from __future__ import annotations

import math
import os

import pytest

from sft_tui.errors import InvalidInputError
from sft_tui.results.summary import build_summary, newest_checkpoint

STEP = "INFO - {{ Epoch:[  1/  1], step:[    {}/    3], loss:[{}/1.0], per_step_time: 5ms, lr: 0.001\n"
PERPLEXITY = "INFO - PerplexityMetric = {{'PerplexityMetric': {{'loss': 1.0, 'PPL': {}}}}}\n"


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoint_network" / "rank_0").mkdir(parents=True)
    (folder / "checkpoint_network" / "rank_0" / "sft_rank_0-network-1_3.ckpt").write_text("w")
    return folder


def log(run_dir, step_id, rank, text, time=None):
    path = run_dir / "log" / step_id / f"rank_{rank}" / "info.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    if time:
        os.utime(path, (time, time))


def steps(*losses):
    return "".join(STEP.format(number, loss) for number, loss in enumerate(losses, 1))


def test_losses_and_perplexities(run_dir):
    log(run_dir, "train", 0, steps(3.0, 2.5, 2.0))
    log(run_dir, "evaluate-before", 0, PERPLEXITY.format(20.5))
    log(run_dir, "evaluate-after", 0, PERPLEXITY.format(10.25))
    summary = build_summary(run_dir)
    assert (summary.steps, summary.first_loss, summary.last_loss) == (3, 3.0, 2.0)
    assert (summary.perplexity_before, summary.perplexity_after, summary.gained) == (20.5, 10.25, True)
    assert summary.checkpoint.endswith("rank_0/sft_rank_0-network-1_3.ckpt")
    assert summary.to_json()["gained"] is True
    assert any("20.50 before, 10.25 after" in line for line in summary.lines())


def test_of_several_runs_in_one_log_the_last_counts(run_dir):
    log(run_dir, "train", 0, steps(9.0, 8.0, 7.0) + steps(5.0, 4.0) + steps(3.0, 2.0, 1.0))
    log(run_dir, "evaluate-before", 0, PERPLEXITY.format(99) + PERPLEXITY.format(20))
    summary = build_summary(run_dir)
    assert (summary.first_loss, summary.last_loss, summary.steps) == (3.0, 1.0, 3)
    assert summary.perplexity_before == 20.0
    assert summary.gained is None
    assert any("not measured" in line for line in summary.lines())


def test_the_highest_rank_of_the_newest_run_counts_not_one_left_over(run_dir):
    for rank in range(4):
        log(run_dir, "train", rank, steps(9.0, 9.0, 9.0), time=1_000_000)
    log(run_dir, "train", 0, steps(0.0, 0.0, 0.0), time=2_000_000)  # a stage that does not see the loss
    log(run_dir, "train", 1, steps(3.0, 2.0, 1.0), time=2_000_001)
    assert build_summary(run_dir).last_loss == 1.0


def test_ranks_are_numbers_and_other_folders_are_passed_over(run_dir):
    log(run_dir, "train", "table", steps(7.0, 7.0, 7.0))
    for rank in (9, 10):
        log(run_dir, "train", rank, steps(*[float(rank)] * 3), time=2_000_000)
    assert build_summary(run_dir).last_loss == 10.0


def test_a_model_that_got_worse_is_said_to_have(run_dir):
    log(run_dir, "evaluate-before", 0, PERPLEXITY.format(10))
    log(run_dir, "evaluate-after", 0, PERPLEXITY.format(11))
    summary = build_summary(run_dir)
    assert summary.gained is False
    assert summary.lines()[-1].startswith("warning")


def test_the_newest_checkpoint_of_rank_0(run_dir):
    folder = run_dir / "checkpoint_network"
    for name, time in (("sft-10.ckpt", 30), ("sft-9.ckpt", 20), ("sft_rank_0-network-1_3.ckpt", 10)):
        (folder / "rank_0" / name).write_text("w")
        os.utime(folder / "rank_0" / name, (time, time))
    assert newest_checkpoint(folder).name == "sft-10.ckpt"


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match="no fine-tuned checkpoint"):
        build_summary(tmp_path)


def test_a_perplexity_of_an_earlier_checkpoint_is_not_told_of_this_one(run_dir):
    log(run_dir, "evaluate-before", 0, PERPLEXITY.format(20))
    log(run_dir, "evaluate-after", 0, PERPLEXITY.format(10), time=1_000_000)
    summary = build_summary(run_dir)
    assert (summary.perplexity_before, summary.perplexity_after, summary.gained) == (20.0, None, None)
    assert any("not measured for" in line or "not measured" in line for line in summary.lines())


def test_a_run_that_was_stopped_before_it_saved_is_not_told_of_the_checkpoint(run_dir):
    log(run_dir, "train", 0, steps(5.0, 4.0, 3.0) + steps(9.0, 8.0))
    summary = build_summary(run_dir)
    assert (summary.first_loss, summary.last_loss, summary.steps) == (5.0, 3.0, 3)


def test_a_folder_written_from_the_checkpoint_is_told_with_both_losses(run_dir):
    held_out = "INFO - held-out loss: {}, perplexity: {}, 9 tokens in 3 batches\n"
    log(run_dir, "evaluate-before", 0, held_out.format(math.log(20), 20.0))
    log(run_dir, "evaluate-after", 0, held_out.format(math.log(10), 10.0))
    (run_dir / "hf").mkdir()
    (run_dir / "hf" / "config.json").write_text("{}")
    summary = build_summary(run_dir)
    assert (summary.exported, summary.gained) == (str(run_dir / "hf"), True)
    assert f"Hugging Face folder: {run_dir / 'hf'}" in summary.lines()
    assert "loss on held-out data: 2.996 before, 2.303 after" in summary.lines()


def test_a_folder_of_an_earlier_checkpoint_is_not_told(run_dir):
    (run_dir / "hf").mkdir()
    (run_dir / "hf" / "config.json").write_text("{}")
    os.utime(run_dir / "hf" / "config.json", (1_000_000, 1_000_000))
    assert build_summary(run_dir).exported == ""


def test_checkpoints_in_either_format(run_dir):
    folder = run_dir / "checkpoint_network"
    for path in (folder / "rank_0").iterdir():
        path.unlink()
    (folder / "rank_0" / "sft_rank_0-network-1_3.safetensors").write_text("w")
    (folder / "rank_0" / "meta.json").write_text("{}")
    assert newest_checkpoint(folder).name == "sft_rank_0-network-1_3.safetensors"


def test_weights_of_one_file_are_those_of_the_newest_state_beside_them(run_dir):
    """MindFormers up to 1.3 writes `-network.ckpt` anew with each state of the training."""
    weights = run_dir / "checkpoint_network" / "rank_0"
    (weights / "sft_rank_0-network-1_3.ckpt").rename(weights / "sft_rank_0-network.ckpt")
    states = run_dir / "checkpoint" / "rank_0"
    states.mkdir(parents=True)
    for time, name in ((10, "sft_rank_0-1_3.ckpt"), (20, "sft_rank_0-1_2.ckpt")):
        (states / name).write_text("s")
        os.utime(states / name, (time, time))
    log(run_dir, "train", 0, steps(9.0, 8.0, 7.0) + steps(3.0, 2.0))
    summary = build_summary(run_dir)
    assert (summary.first_loss, summary.last_loss, summary.steps) == (3.0, 2.0, 2)
