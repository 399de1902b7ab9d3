from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.core.schedule import build_schedule


@pytest.mark.parametrize(
    ("records", "options", "expected"),
    [
        (10, {"batch_size": 2}, (10, 5, 0, 5)),
        (10, {"batch_size": 3, "epochs": 2}, (10, 3, 1, 6)),
        (10, {"batch_size": 3, "epochs": 2, "drop_remainder": False}, (10, 4, 0, 8)),
        # what MindDataset does with 10 rows and 3 or 4 shards: 4 and 3 rows each, 2 of them for the second time
        (10, {"batch_size": 2, "data_parallel": 3}, (4, 2, 0, 2)),
        (10, {"batch_size": 2, "data_parallel": 4}, (3, 1, 1, 1)),
        (999, {"batch_size": 4, "data_parallel": 8, "accumulation": 4, "epochs": 3}, (125, 7, 13, 21)),
        (3, {"batch_size": 4}, (3, 0, 3, 0)),
        (0, {"batch_size": 1}, (0, 0, 0, 0)),
        # sink mode: rounds of sink_size steps, what is left of them is never run
        (100, {"batch_size": 1, "sink_size": 30}, (100, 100, 0, 90)),
        (10, {"batch_size": 1, "sink_size": 16}, (10, 10, 0, 0)),
        (10, {"batch_size": 1, "sink_size": 16, "epochs": 2}, (10, 10, 0, 16)),
    ],
)
def test_steps(records, options, expected):
    schedule = build_schedule(records, **options)
    found = (schedule.rows_per_rank, schedule.steps_per_epoch, schedule.left_out, schedule.steps)
    assert found == expected


@given(st.integers(0, 10**6), *[st.integers(1, 64)] * 4)
def test_no_row_is_lost_from_the_sum(records, batch_size, ranks, epochs, accumulation):
    schedule = build_schedule(
        records, batch_size=batch_size, data_parallel=ranks, epochs=epochs, accumulation=accumulation
    )
    used = schedule.steps_per_epoch * schedule.rows_per_step
    assert used + schedule.left_out == schedule.rows_per_rank
    assert 0 <= schedule.rows_per_rank * ranks - records < ranks
    assert schedule.steps == schedule.steps_per_epoch * epochs


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="positive"):
        build_schedule(10, batch_size=0)
