"""Points and marks: on disk and back, smoothed, thinned and tabled."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from sft_tui.logs.training_log import TrainingStep
from sft_tui.metrics.points import (
    COLUMNS,
    KEPT_POINTS,
    METRICS,
    RECENT_POINTS,
    Curve,
    Mark,
    MetricPoint,
    decode_row,
    encode_row,
    point_of,
    reduce_columns,
    row_from_data,
    series,
    smooth,
    table_rows,
)
from sft_tui.metrics.time_left import point_of_event, remaining_seconds

numbers = st.floats(allow_nan=False)
maybe = st.none() | numbers
points = st.builds(
    MetricPoint, st.integers(0), st.integers(0), numbers, st.integers(0), maybe, maybe, maybe, st.booleans(), maybe,
    st.none() | st.integers(0, 4096), numbers, st.booleans(), st.text(),
)  # fmt: skip
marks = st.builds(Mark, st.text(), st.integers(0), numbers, maybe, maybe)


@given(points | marks)
def test_a_row_comes_back_from_its_line(row):
    line = encode_row(row)
    assert "\n" not in line
    assert decode_row(line) == decode_row(line.encode()) == row


def test_losses_that_are_no_numbers_come_back():
    assert math.isnan(decode_row(encode_row(MetricPoint(1, 2, math.nan, 5))).loss)
    assert decode_row(encode_row(MetricPoint(1, 2, math.inf, 5))).loss == math.inf


@given(points, st.data())
def test_a_torn_line_is_nothing_or_what_it_was(row, data):
    line = encode_row(row)
    torn = line[: data.draw(st.integers(0, len(line) - 1))]
    assert decode_row(torn) is None


@given(st.binary() | st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_line_raises(line):
    decode_row(line)


@given(st.dictionaries(st.sampled_from([*MetricPoint._fields, *Mark._fields, "mark", "later"]), st.text() | maybe))
def test_what_a_later_version_made_of_a_line_raises_nothing(data):
    row_from_data(data)


def test_unknown_keys_are_passed_over():
    line = json.dumps({"step": 3, "steps": 9, "loss": 1.5, "per_step_ms": 7, "temperature": [40], "schema_version": 9})
    assert decode_row(line) == MetricPoint(3, 9, 1.5, 7)


def test_a_line_is_short():
    row = MetricPoint(123_456, 1_000_000, 1.234567, 412, 0.00012, 1.0933703, 65536.0, False, 318_446.6, None, 1.7e9)
    assert len(encode_row(row)) < 220


def test_tokens_a_second_where_the_plan_tells_tokens_a_step():
    fact = TrainingStep(2, 3, 1, 32, 10.4, 500, 0.001, 1.1, False, 65536.0)
    assert point_of(fact, at=1.23456, tokens_per_step=4096) == MetricPoint(
        33, 96, 10.4, 500, 0.001, 1.1, 65536.0, False, 8192.0, None, 1.235
    )
    assert point_of(fact, at=1.0).tokens_per_s is None


def test_a_smoothed_loss_begins_where_the_loss_begins():
    assert next(smooth([5.0])) == 5.0
    smoothed = list(smooth([4.0, math.nan, 4.0, math.inf, 4.0]))
    assert all(math.isclose(value, 4.0) for value in smoothed)
    assert math.isnan(next(smooth([math.nan])))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_smoothed_loss_stays_between_what_it_was_made_of(values):
    for count, value in enumerate(smooth(values), 1):
        margin = 1e-6 * (1 + max(map(abs, values)))
        assert min(values[:count]) - margin <= value <= max(values[:count]) + margin


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 40))
def test_columns_keep_the_extremes_and_the_order(ys, columns):
    xs = list(range(len(ys)))
    kept_xs, kept_ys = reduce_columns(xs, ys, columns)
    assert len(kept_xs) <= max(2 * columns, 1)
    assert kept_xs == sorted(kept_xs)
    assert (min(kept_ys), max(kept_ys)) == (min(ys), max(ys))
    assert all(ys[int(x)] == y for x, y in zip(kept_xs, kept_ys))


def test_a_long_curve_takes_little_room_and_loses_no_spike():
    curve = Curve()
    for n in range(1, 50_001):
        loss = 99.0 if n == 7777 else math.nan if n == 8888 else 2.0 - n / 50_000 + n % 7 / 100
        curve.add(MetricPoint(n, 50_000, loss, 400))
    assert len(curve.points) <= 2 * KEPT_POINTS
    assert (curve.first.step, curve.last.step, curve.points[-1].step) == (1, 50_000, 50_000)
    assert max(series(curve.points, METRICS[0])[1]) == 99.0
    assert curve.not_finite == 1
    assert [p.step for p in curve.newest(50)] == list(range(49_951, 50_001))
    assert len(curve.recent) == RECENT_POINTS


def test_other_ranks_and_marks_are_kept_apart():
    curve = Curve()
    for row in (MetricPoint(1, 9, 3.0, 5), MetricPoint(1, 9, 3.5, 6, rank=0), Mark("checkpoint", 1)):
        curve.add(row)
    assert [p.loss for p in curve.points] == [3.0]
    assert {rank: point.loss for rank, point in curve.ranks.items()} == {0: 3.5}
    assert curve.marks == [Mark("checkpoint", 1)]


def test_every_row_of_the_table_has_every_column():
    rows = [
        Mark("evaluation", 0, 5.0, 9.4, 12_303.3), MetricPoint(1, 2, 4.0, 5000, 0.1, 1.5, 1.0, compiled=True),
        MetricPoint(2, 2, math.nan, 400), MetricPoint(2, 2, 3.0, 900, rank=1),
    ]  # fmt: skip
    table = list(table_rows(rows))
    assert all(tuple(row) == COLUMNS for row in table)
    assert (table[0]["mark"], table[0]["held_out_loss"], table[0]["loss"]) == ("evaluation", 9.4, None)
    assert table[1]["loss_smoothed"] == table[2]["loss_smoothed"] == 4.0
    assert (table[3]["rank"], table[3]["loss_smoothed"]) == (1, None)


def test_the_first_step_counts_neither_for_the_time_left_nor_for_the_plot():
    steps = [MetricPoint(11, 20, 3.0, 60_000, compiled=True), MetricPoint(12, 20, 3.0, 500)]
    assert remaining_seconds(steps[:1]) is None
    assert remaining_seconds(steps) == 4.0
    assert remaining_seconds([MetricPoint(20, 20, 3.0, 500)]) is None
    step_time = next(metric for metric in METRICS if metric.key == "step_time")
    assert series(steps, step_time) == ([12], [500.0])


def test_an_event_of_an_older_job_is_a_point():
    data = {
        "step": 3, "steps": 9, "loss": 1.5, "per_step_ms": 7, "learning_rate": 0.1, "global_norm": None,
        "overflow": True, "compiled": False,
    }  # fmt: skip
    expected = MetricPoint(3, 9, 1.5, 7, 0.1, overflow=True, at=8.0, step_id="train")
    assert point_of_event(data, at=8.0, step_id="train") == expected
    assert point_of_event({"step": "x"}, at=8.0, step_id="train") is None
