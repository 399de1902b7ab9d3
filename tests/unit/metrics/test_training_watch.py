"""Other ranks beside the one whose loss counts, and the room for checkpoints."""

from __future__ import annotations

import os
import shutil

import pytest

from sft_tui.core.plan import Step
from sft_tui.logs.training_log import TrainingStep
from sft_tui.metrics.checkpoint_space import checkpoint_size, look_at_space
from sft_tui.metrics.points import MetricPoint
from sft_tui.metrics.training_watch import TrainingWatch

LINE = "Epoch:[  1/  1], step:[{:5d}/ 1000], loss:[{}/1.0], per_step_time: {}ms, lr: 0.001\n"


@pytest.fixture
def ranks(tmp_path):
    """Writes logs of ranks 0 to 2; the last one's is the training log. `told(...)` reads them."""

    class Ranks:
        def __init__(self):
            self.step = Step(id="train", title="T", argv=("x",), cwd="/", training_log=str(tmp_path / "worker_2.log"))
            self.clock = 0.0

        def begin(self):
            self.watch = TrainingWatch(self.step)

        def write(self, rank, steps, loss=2.0, ms=100):
            with (tmp_path / f"worker_{rank}.log").open("a") as file:
                file.writelines(LINE.format(step, loss, ms) for step in steps)

        def told(self, steps, loss=2.0, ms=100):
            for step in steps:
                self.watch.take_step(TrainingStep(1, 1, step, 1000, loss, ms), self.clock, 0.0)
            self.clock += 5
            self.watch.look(self.clock, 0.0)
            return [row for row in self.watch.take_rows() if isinstance(row, MetricPoint) and row.rank is not None]

    return Ranks()


def test_a_rank_that_does_not_differ_is_not_kept(ranks):
    ranks.begin()
    ranks.write(0, range(1, 20))
    assert ranks.told(range(1, 20)) == []


def test_of_a_rank_that_differs_a_point_now_and_then_is_kept(ranks):
    ranks.begin()
    ranks.write(0, range(1, 20), loss=2.5)
    ranks.write(1, range(1, 20), ms=300)
    kept = ranks.told(range(1, 20))
    assert [(p.rank, p.loss, p.per_step_ms, p.step_id) for p in kept] == [
        (0, 2.5, 100, "train"),
        (1, 2.0, 300, "train"),
    ]
    ranks.write(0, [20], loss=2.5)
    assert ranks.told([20]) == [], "within ten seconds one is enough"
    ranks.write(0, [21, 22], loss=2.5)
    assert [p.step for p in ranks.told([21, 22])] == [21]


def test_a_slow_rank_is_told_once(ranks):
    ranks.begin()
    ranks.write(0, range(1, 60))
    ranks.write(1, range(1, 60), ms=180)
    ranks.told(range(1, 60))
    [sign] = ranks.watch.take_signs()
    assert (sign.kind, sign.over) == ("slow_rank", False)
    assert sign.text.startswith("rank 1 takes 180 ms")
    ranks.watch.look(99.0, 0.0, ended=True)
    assert [(s.kind, s.over) for s in ranks.watch.take_signs()] == [("slow_rank", True)]


def test_a_rank_that_is_alone_is_compared_with_nobody(ranks):
    ranks.begin()
    for begin in range(1, 200, 10):
        assert ranks.told(range(begin, begin + 10)) == []
    assert ranks.watch.take_signs() == []


def test_logs_of_an_earlier_run_and_of_higher_ranks_are_not_read(ranks):
    ranks.write(0, range(1, 60), ms=900)
    ranks.write(3, range(1, 60), ms=900)
    ranks.begin()
    ranks.write(1, range(1, 60))
    assert ranks.told(range(1, 60)) == []
    assert ranks.watch.take_signs() == []


def test_a_flood_in_a_ranks_log_is_read_in_parts(ranks, tmp_path):
    ranks.begin()
    with (tmp_path / "worker_0.log").open("w") as file:
        file.write("noise\n" * 1_000_000 + LINE.format(1, 9.0, 100))
    assert ranks.told([1]) == []
    assert [p.loss for n in range(2, 6) for p in ranks.told([n])] == [9.0]


def test_a_checkpoint_of_all_ranks_is_the_largest_file_of_each(tmp_path):
    assert look_at_space(tmp_path) is None
    for rank in (0, 1):
        (tmp_path / f"rank_{rank}").mkdir()
        (tmp_path / f"rank_{rank}" / "meta.json").write_text("x" * 5000)
        (tmp_path / f"rank_{rank}" / "old.ckpt").write_bytes(b"x" * 1000)
        (tmp_path / f"rank_{rank}" / "half-written.safetensors").write_bytes(b"x" * 10)
    assert checkpoint_size(tmp_path) == 2000
    free, size = look_at_space(tmp_path)
    assert size == 2000
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert checkpoint_size(tmp_path / "absent") == 0


def test_a_disk_that_is_nearly_full_is_told(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / "rank_0").mkdir()
    with (tmp_path / "rank_0" / "one.ckpt").open("wb") as file:
        os.truncate(file.fileno(), free)  # takes no room itself
    watch = TrainingWatch(Step(id="train", title="T", argv=("x",), cwd="/", checkpoint_dir=str(tmp_path)))
    watch.take_step(TrainingStep(1, 1, 1, 9, 2.0, 100), 1000.0, 5.0)
    watch.look(1000.0, 5.0)
    assert [sign.kind for sign in watch.take_signs()] == ["disk"]
