"""`jobs metrics`: one table for people, spreadsheets, programs and TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from sft_tui.core.job import Event
from sft_tui.core.plan import Plan, Step
from sft_tui.metrics.alerts import WatchOut
from sft_tui.metrics.points import COLUMNS, Mark, MetricPoint
from sft_tui.metrics.store import append_metrics
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import create_job

POINTS = [
    MetricPoint(n, 9, 3.0 - n / 10, 400, 1e-4, 1.5, 65536.0, tokens_per_s=2560.0, at=1000.0 + n, compiled=n == 1)
    for n in range(1, 5)
]


@pytest.fixture
def job(home):
    """A job's folder; it has not measured anything."""
    step = Step(id="train", title="T", argv=("true",), cwd=str(home))
    folder, state = create_job(jobs_dir(), Plan(profile="demo", steps=(step,)), stop_grace_seconds=1.0)
    folder.save_state(state)
    return folder


def test_csv_has_units_and_every_row(job, sft):
    rows = [Mark("evaluation", 0, 999.0, 9.4, 12_303.3), *POINTS, MetricPoint(5, 9, math.nan, 400, overflow=True)]
    append_metrics(job.metrics, rows)
    result = sft("jobs", "metrics", "1", "--csv")
    assert result.returncode == 0, result.stderr
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    assert tuple(table[0]) == COLUMNS
    assert [row["step"] for row in table] == ["0", "1", "2", "3", "4", "5"]
    assert (table[1]["loss"], table[1]["step_time_ms"], table[1]["tokens_per_s"]) == ("2.9", "400", "2560.0")
    assert (table[5]["loss"], table[5]["overflow"], table[0]["held_out_loss"]) == ("nan", "True", "9.4")


def test_json_is_json_also_where_a_loss_is_no_number(job, sft):
    append_metrics(job.metrics, [*POINTS, MetricPoint(5, 9, math.inf, 400)])
    sign = WatchOut("slow", 1000.0, "steps take longer", "Look.")
    job.append_event(Event(kind="watch_out", time=1000.0, step="train", data=sign.as_data()))
    result = sft("jobs", "metrics", "--json")
    told = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (told["job"], told["units"]["step_time_ms"]) == ("1-demo", "ms")
    assert [row["loss"] for row in told["rows"]] == [2.9, 2.8, 2.7, 2.6, None]
    assert [s["kind"] for s in told["watch_outs"]] == ["slow"]


def test_people_read_a_summary_and_what_to_watch(job, sft):
    append_metrics(job.metrics, [*POINTS, MetricPoint(4, 9, 7.0, 900, rank=1), Mark("checkpoint", 4)])
    sign = WatchOut("slow", 1000.0, "steps take \x1b[31mlonger", "Look at the host.", over=True)
    for over in (False, True):
        data = {**sign.as_data(), "over": over}
        job.append_event(Event(kind="watch_out", time=1000.0, step="train", data=data))
    said = sft("jobs", "metrics").stdout
    assert "step 4 of 9, 2 s left" in said
    assert "loss 2.9000 -> 2.6000" in said
    assert "step time 400 ms" in said and "tokens/s 2560" in said
    assert "rank 1 differed: step 4, loss 7.0000, 900 ms" in said
    assert "checkpoint after step 4" in said
    assert "watch out: Over: Steps take longer, since" in said
    shown = sft("jobs", "show")
    assert "watch out: Over: Steps take longer, since" in shown.stdout
    assert json.loads(sft("jobs", "show", "--json").stdout)["watch_outs"][0]["over"] is True


def test_a_job_made_before_there_were_metrics(job, sft):
    for n in (1, 2):
        data = {"step": n, "steps": 2, "loss": 3.0 - n, "per_step_ms": 400, "learning_rate": 0.1, "overflow": False}
        job.append_event(Event(kind="training_step", time=1000.0 + n, step="train", data=data))
    table = list(csv.DictReader(io.StringIO(sft("jobs", "metrics", "--csv").stdout)))
    assert [(row["step"], row["loss"], row["time_unix_s"]) for row in table] == [
        ("1", "2.0", "1001.0"),
        ("2", "1.0", "1002.0"),
    ]


def test_what_has_measured_nothing_says_so(job, sft):
    result = sft("jobs", "metrics", "1", "--csv")
    assert (result.returncode, result.stdout) == (2, "")
    assert "has measured nothing yet" in result.stderr
    assert sft("jobs", "metrics", "--csv", "--json").returncode == 2


def test_tensorboard_reads_what_was_written(job, sft, tmp_path):
    append_metrics(job.metrics, [*POINTS, MetricPoint(4, 9, 7.0, 900, rank=1), Mark("evaluation", 4, 1005.0, 2.0, 7.4)])
    result = sft("jobs", "metrics", "--tensorboard", tmp_path / "board")
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        assert result.returncode == 4
        assert "sft-tui[tensorboard]" in result.stderr
        return
    assert result.returncode == 0, result.stderr
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    losses = [(event.step, event.wall_time, round(event.value, 4)) for event in board.Scalars("train/loss")]
    assert losses == [(point.step, point.at, point.loss) for point in POINTS]
    assert [event.step for event in board.Scalars("train/step_time")] == [2, 3, 4], "not the compilation"
    assert [event.value for event in board.Scalars("held-out/loss")] == [2.0]
    assert [event.value for event in board.Scalars("rank_1/loss")] == [7.0]
