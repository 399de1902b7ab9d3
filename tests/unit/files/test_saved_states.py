"""Which of the states that a training saved is the last, whatever their names and times say."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.files.saved_states import find_states, last_of_rank_0, read_counter, read_steps_done
from tests.unit.saved_training import SavingTraining, write_state


def turn_times(folder: Path) -> None:
    """What is last by name becomes the oldest: as a copy may have it."""
    for age, path in enumerate(sorted(folder.rglob("*.safetensors"), reverse=True)):
        os.utime(path, (age, age))


def steps_of(path: Path | None) -> int | None:
    return read_steps_done(path) if path else None


@given(
    epoch=st.integers(3, 9),
    every=st.integers(1, 6),
    # whether it goes on, how many steps it does, whether it saves at its end
    attempts=st.lists(st.tuples(st.booleans(), st.integers(1, 20), st.booleans()), min_size=2, max_size=5),
)
def test_it_is_the_one_that_was_saved_last_after_any_resumptions(epoch, every, attempts):
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        training = SavingTraining(run, epoch=epoch, every=every)
        for goes_on, count, saves in attempts:
            begin = training.last if goes_on else 0
            training.train(begin, begin + count, saves_at_end=saves)
        turn_times(run)
        for folder in (training.whole.parent, training.network.parent):
            assert steps_of(last_of_rank_0(folder)) == (training.last or None)


def test_after_a_resumption_in_the_midst_of_an_epoch_a_greater_name_is_older(tmp_path):
    training = SavingTraining(tmp_path, epoch=35, every=27)
    training.train(0, 47)
    training.train(47, 105)
    names = sorted(path.name for path in training.network.glob("sft_rank_0_1*"))
    assert names == [f"sft_rank_0_1-network-{n}.safetensors" for n in ("3_19", "3_23", "3_27")]
    turn_times(tmp_path)
    assert last_of_rank_0(tmp_path / "checkpoint_network").name == "sft_rank_0_1-network-3_23.safetensors"


def test_where_nothing_counts_the_steps_names_tell_and_time_only_of_a_later_run(tmp_path):
    folder = tmp_path / "copy"
    for name, age in (("-1_9", 3), ("-1_10", 1), ("-1_2", 2)):
        os.utime(write_state(folder / "rank_0" / f"sft_rank_0-network{name}.safetensors", None), (age, age))
    assert last_of_rank_0(folder).name == "sft_rank_0-network-1_10.safetensors"
    for name, age in (("-3_27", 1), ("-3_4", 2), ("-2_30", 3)):
        os.utime(write_state(folder / "rank_0" / f"sft_rank_0_1-network{name}.safetensors", None), (age, age))
    assert last_of_rank_0(folder).name == "sft_rank_0_1-network-3_4.safetensors"


def test_weights_whose_training_states_were_removed_do_not_hide_those_of_a_new_training(tmp_path):
    training = SavingTraining(tmp_path, epoch=10, every=10)
    training.train(0, 30)
    training.train(10, 30)
    shutil.rmtree(tmp_path / "checkpoint")
    SavingTraining(tmp_path, epoch=10, every=6).train(0, 12)  # its runs are counted from the start again
    assert last_of_rank_0(tmp_path / "checkpoint_network").name == "sft_rank_0-network-2_2.safetensors"


def test_the_last_state_of_all_ranks_is_that_which_all_have(tmp_path):
    ranks = [SavingTraining(tmp_path, epoch=10, every=4, rank=rank) for rank in (0, 1)]
    ranks[0].train(0, 8)
    ranks[1].train(0, 4)
    files = [sorted(rank.whole.iterdir()) for rank in ranks]
    [state] = find_states(files)
    assert (state.done, len(state.files), state.describe()) == (4, 2, "that of step 4")
    assert find_states([files[0], []]) == []


def test_ranks_that_count_their_runs_differently_have_their_last_state_in_common(tmp_path):
    """Rank 1 was killed before it had saved at all: its next run is the first, and its rank 0's the second."""
    ranks = [SavingTraining(tmp_path, epoch=10, every=4, rank=rank) for rank in (0, 1)]
    ranks[0].train(0, 4)
    for rank in ranks:
        rank.train(0, 10)
    last = find_states([sorted(rank.network.iterdir()) for rank in ranks])[-1]
    assert [file.name for file in last.files] == [
        "sft_rank_0_1-network-1_10.safetensors", "sft_rank_1-network-1_10.safetensors",
    ]  # fmt: skip


def test_ranks_in_one_folder_are_one_state(tmp_path):
    files = [
        write_state(tmp_path / f"sft_rank_{rank}-1_{step}.safetensors", step) for step in (2, 9) for rank in (0, 1)
    ]
    assert find_states([files])[-1].files == tuple(files[2:])


def test_of_files_with_other_names_the_newest_counts(tmp_path):
    for name, age in (("b", 1), ("a", 2)):
        os.utime(write_state(tmp_path / "rank_0" / f"{name}.safetensors", None), (age, age))
    assert last_of_rank_0(tmp_path).name == "a.safetensors"
    assert last_of_rank_0(tmp_path / "rank_0") is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\2\0\0\0\0\0\0\0[]", b"\xff" * 20, b"\4\0\0\0\0\0\0\0null",
        b'\x41\0\0\0\0\0\0\0{"step_num": {"dtype": "F32", "shape": [], "data_offsets": [0,4]}}' + b"\0" * 4,
        b'\x41\0\0\0\0\0\0\0{"step_num": {"dtype": "I64", "shape": [], "data_offsets": [0,8]}}' + b"\0" * 4,
    ],
)  # fmt: skip
def test_a_file_that_does_not_count_says_nothing(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    assert read_counter(tmp_path / "x.safetensors") is None


def test_the_counter_is_read(tmp_path):
    assert read_counter(write_state(tmp_path / "x.safetensors", 107)) == 107
