"""What a supervisor writes down, also while there is no room."""

from __future__ import annotations

import pytest

from sft_tui.core.plan import Plan, Step
from sft_tui.jobs import record as job_record
from sft_tui.jobs.record import JobRecord
from sft_tui.metrics.points import Mark, MetricPoint
from sft_tui.metrics.store import iterate_metrics
from sft_tui.store.job_store import create_job


@pytest.fixture
def record(tmp_path):
    step = Step(id="train", title="T", argv=("true",), cwd=str(tmp_path))
    folder, state = create_job(tmp_path / "jobs", Plan(profile="p", steps=(step,)), stop_grace_seconds=1.0)
    folder.save_state(state)
    return JobRecord(folder)


def test_points_that_found_no_room_are_written_later_in_their_order(record):
    record.folder.metrics.mkdir()  # nothing can be appended to a folder
    record.measure([MetricPoint(1, 9, 3.0, 400)])
    record.measure([MetricPoint(2, 9, 2.9, 400)])
    assert record.is_behind
    record.folder.metrics.rmdir()
    record.catch_up()
    assert [row.step for row in iterate_metrics(record.folder.metrics)] == [1, 2]
    assert not record.is_behind
    assert "nothing is missing" in record.state.notes[-1]


def test_what_is_kept_for_later_has_a_limit_and_what_is_lost_is_counted(record, monkeypatch):
    monkeypatch.setattr(job_record, "MAX_UNWRITTEN_ROWS", 5)
    record.folder.metrics.mkdir()
    record.measure([MetricPoint(n, 99, 3.0, 400) for n in range(1, 12)])
    record.folder.metrics.rmdir()
    record.catch_up()
    assert [row.step for row in iterate_metrics(record.folder.metrics)] == [7, 8, 9, 10, 11]
    assert "6 events or points are missing" in record.state.notes[-1]


def test_an_evaluation_after_training_stands_at_its_last_step(record):
    record.measure([Mark("evaluation", 0, loss=9.4)])
    record.measure([MetricPoint(32, 32, 3.0, 400)])
    record.measure([Mark("evaluation", 0, loss=2.1)])
    marks = [row for row in iterate_metrics(record.folder.metrics) if isinstance(row, Mark)]
    assert [(mark.step, mark.loss) for mark in marks] == [(0, 9.4), (32, 2.1)]
