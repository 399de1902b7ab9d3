"""Signs that a training needs a look: raised once, over once, and never on a good log."""

from __future__ import annotations

import datetime
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.logs.training_log import CheckpointSaved, TrainingStep, parse_line
from sft_tui.metrics.alerts import KINDS, WatchOut, WatchOuts, memory_not_released, read_watch_out, severity
from sft_tui.metrics.points import MetricPoint, point_of

LOGS = Path(__file__).parents[2] / "data" / "training_logs"
GOOD = sorted(path.name for path in LOGS.glob("steps_*.log"))
DAY = 1_000_000.0  # where the wall clock stands when the other one begins


class Training:
    """Steps of half a second, told to the rules; what they said is in `signs`."""

    def __init__(self, steps=10_000):
        self.rules = WatchOuts()
        self.steps = steps
        self.step = 0
        self.clock = 0.0
        self.signs = []

    def run(self, count=1, loss=2.0, ms=500, *, overflow=False):
        for _ in range(count):
            self.step += 1
            self.clock += ms / 1000
            at = DAY + self.clock
            self.rules.tick(self.clock, at)
            point = MetricPoint(self.step, self.steps, loss, ms, overflow=overflow, at=at, compiled=self.step == 1)
            self.rules.take_point(point, self.clock)
            self.signs += self.rules.news()
        return self

    def wait(self, seconds):
        self.clock += seconds
        self.rules.tick(self.clock, DAY + self.clock)
        self.signs += self.rules.news()
        return self

    @property
    def told(self):
        return [(sign.kind, sign.over) for sign in self.signs]


def test_a_loss_that_is_no_number_is_told_at_once_and_once():
    training = Training().run(3).run(5, math.nan)
    assert training.told == [("loss_not_finite", False)]
    assert "(step 4)" in training.signs[0].text and training.signs[0].since == DAY + 2.0
    training.run(9)
    assert len(training.told) == 1, "a few good steps are no cure"
    training.run(1)
    assert training.told == [("loss_not_finite", False), ("loss_not_finite", True)]
    assert training.run(1, math.inf).told[-1] == ("loss_not_finite", False)


def test_one_strange_batch_is_no_spike_three_are():
    training = Training().run(40).run(1, 4.0).run(20)
    assert training.told == []
    training.run(3, 4.0)
    assert training.told == [("loss_spike", False)]
    training.run(300, 4.0)
    assert len(training.told) == 1, "what is usual does not follow it"
    training.run(10)
    assert training.told == [("loss_spike", False), ("loss_spike", True)]


def test_a_leap_of_one_step_is_told():
    assert Training().run(40).run(1, 40.0).told == [("loss_spike", False)]


def test_no_step_for_five_times_the_usual():
    training = Training().run(20, ms=20_000).wait(99)
    assert training.told == []
    training.wait(2)
    assert training.told == [("no_step", False)]
    assert training.signs[0].since == pytest.approx(DAY + 20 * 20)
    assert training.wait(1000).run(1, ms=20_000).told == [("no_step", False), ("no_step", True)]


def test_a_pause_of_a_fast_training_is_no_sign():
    assert Training().run(20).wait(29).told == []
    assert Training().run(20).wait(31).told == [("no_step", False)]


def test_a_checkpoint_may_take_its_time():
    training = Training().run(20)
    training.rules.take_saving()
    assert training.wait(800).run(5).told == []
    assert training.wait(31).told == [("no_step", False)]


def test_before_the_first_steps_and_after_the_last_nothing_is_awaited():
    assert Training().wait(1e6).run(1).wait(1e6).told == []
    assert Training(steps=20).run(20).wait(1e6).told == []


def test_sink_mode_tells_one_step_of_many():
    rules, clock = WatchOuts(), 0.0
    for step in range(100, 1100, 100):
        clock += 100.0
        rules.take_point(MetricPoint(step, 5000, 2.0, 1000, at=DAY + clock), clock)
    rules.tick(clock + 450, DAY + clock + 450)
    assert rules.news() == []
    rules.tick(clock + 501, DAY + clock + 501)
    assert [sign.kind for sign in rules.news()] == ["no_step"]


def test_overflow_in_a_row():
    training = Training().run(2).run(7, overflow=True).run(1).run(7, overflow=True)
    assert training.told == []
    training.run(5, overflow=True)
    assert training.told == [("overflow", False)]
    assert training.run(1).told[-1] == ("overflow", True)


def test_a_fifth_less_throughput():
    training = Training().run(300).run(200, ms=560)
    assert training.told == [], "an eighth more time is within the usual"
    training.run(40, ms=700)
    assert training.told == [("slow", False)]
    assert training.run(80).told[-1] == ("slow", True)


def test_one_rank_slower_than_the_others():
    rules = WatchOuts()
    for step in range(1, 51):
        for rank, ms in ((0, 500), (1, 510), (2, 700), (3, 490)):
            rules.take_rank(rank, step, ms, DAY)
    [sign] = rules.news()
    assert sign.kind == "slow_rank" and sign.text.startswith("rank 2 takes 700 ms a step, the others 500 ms")
    for step in range(51, 101):
        for rank in range(4):
            rules.take_rank(rank, step, 500, DAY)
    assert [(s.kind, s.over) for s in rules.news()] == [("slow_rank", True)]


def test_ranks_are_compared_in_the_same_steps():
    rules = WatchOuts()
    # the host is busy at times, for all; one log is read some steps later than the other
    times = [900 if step // 40 % 2 else 300 for step in range(400)]
    for begin in range(0, 400, 10):
        for rank in (0, 1):
            for step in range(begin, begin + 10):
                rules.take_rank(rank, step, times[step], DAY)
    assert rules.news() == []


def test_a_rank_that_falls_silent_or_begins_late_raises_nothing():
    rules = WatchOuts()
    for step in range(2000):
        rules.take_rank(0, step, 100, DAY)
        if step > 1000:
            rules.take_rank(1, step, 900, DAY) if step < 1010 else rules.take_rank(2, step, 100, DAY)
    assert rules.news() == []


def test_ranks_of_a_toy_model_differ_by_the_grain_of_the_clock():
    rules = WatchOuts()
    for step in range(100):
        rules.take_rank(0, step, 10, DAY)
        rules.take_rank(1, step, 40, DAY)
    assert rules.news() == []


def test_room_for_less_than_two_checkpoints():
    rules = WatchOuts()
    rules.take_disk(10**9, 0, DAY)
    rules.take_disk(21 * 10**9, 10 * 10**9, DAY)
    assert rules.news() == []
    rules.take_disk(19 * 10**9, 10 * 10**9, DAY)
    rules.take_disk(18 * 10**9, 10 * 10**9, DAY)
    [sign] = rules.news()
    assert (sign.kind, sign.text) == ("disk", "19.0 GB are free for checkpoints of 10.0 GB")
    rules.take_disk(50 * 10**9, 10 * 10**9, DAY)
    assert [s.over for s in rules.news()] == [True]


def test_at_the_end_only_what_lasts_is_left():
    training = Training().run(40).run(3, 9.0).run(1, math.nan).wait(100)
    training.rules.end()
    over = {sign.kind for sign in training.rules.news()}
    assert over == {"loss_spike", "no_step"}


def test_a_wall_clock_that_jumps_raises_nothing():
    rules = WatchOuts()
    for step in range(1, 200):
        at = DAY + (3600.0 * 24 * 365 if step % 2 else -5000.0)
        rules.take_point(MetricPoint(step, 1000, 2.0, 500, at=at), step / 2)
        rules.tick(step / 2 + 1, at)
    assert rules.news() == []


@pytest.mark.parametrize("name", GOOD)
def test_no_alarm_on_a_good_log(name):
    rules, first = WatchOuts(), True
    for line in (LOGS / name).read_text().splitlines():
        written = datetime.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
        rules.tick(written, written)
        fact = parse_line(line)
        if isinstance(fact, TrainingStep):
            rules.take_point(point_of(fact, at=written, compiled=first), written)
            first = False
        else:
            assert isinstance(fact, CheckpointSaved)
            rules.take_saving()
    assert not first
    assert rules.news() == []


def test_hardly_an_alarm_on_losses_that_scatter():
    rules, chance = WatchOuts(), random.Random(1)
    for step in range(1, 10_001):
        loss = (1.2 + math.exp(-step / 2000)) * chance.lognormvariate(0, 0.35)
        ms = int(400 * chance.lognormvariate(0, 0.08))
        rules.take_point(MetricPoint(step, 10_000, loss, ms, at=DAY + step), 0.4 * step)
    assert rules.news() == []


@given(st.lists(st.tuples(st.floats(), st.integers(0, 10**6), st.booleans(), st.floats(0, 1e6)), max_size=150))
def test_what_is_raised_is_over_before_it_is_raised_again(steps):
    rules, clock, on = WatchOuts(), 0.0, set()
    for number, (loss, ms, overflow, pause) in enumerate(steps, 1):
        clock += pause
        rules.tick(clock, clock)
        rules.take_point(MetricPoint(number, 1000, loss, ms, overflow=overflow, at=clock), clock)
        for sign in rules.news():
            assert sign.kind in KINDS
            assert (sign.kind in on) is sign.over
            on ^= {sign.kind}


def test_a_sign_comes_back_from_its_event():
    sign = memory_not_released("NPU 3 still holds 5000 MB", 5.0)
    assert read_watch_out(sign.as_data()) == sign
    assert read_watch_out({**sign.as_data(), "later": 1}) == sign
    assert read_watch_out({"kind": 3}) is None


def test_people_read_what_since_when_and_what_to_look_at():
    sign = WatchOut("slow", 5.0, "steps take longer", "Look at the host.")
    assert sign.sentence("12:00") == "Steps take longer, since 12:00. Look at the host."
    over = WatchOut("slow", 5.0, "steps take longer", "Look at the host.", over=True)
    assert over.sentence("12:00") == "Over: Steps take longer, since 12:00."
    assert severity("loss_not_finite") < severity("slow") < severity("of a later version")
