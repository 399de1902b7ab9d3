"""metrics.jsonl: appended whole, read in parts, torn lines passed over."""

from __future__ import annotations

import stat

from sft_tui.metrics.points import Mark, MetricPoint
from sft_tui.metrics.store import append_metrics, iterate_metrics, read_metrics

ROWS = [MetricPoint(n, 9, 3.0 - n / 10, 400, at=float(n)) for n in range(1, 6)] + [Mark("checkpoint", 5)]


def test_what_was_appended_is_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, ROWS[:2])
    append_metrics(path, ROWS[2:])
    assert list(iterate_metrics(path)) == ROWS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().splitlines()[0] == '{"schema_version": 1, "kind": "metrics"}'


def test_a_reader_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == ([], 0, False)
    append_metrics(path, ROWS[:2])
    rows, offset, more = read_metrics(path)
    assert (rows, more) == (ROWS[:2], False)
    append_metrics(path, ROWS[2:])
    assert read_metrics(path, offset).rows == ROWS[2:]


def test_a_torn_last_line_is_left_for_later_and_one_in_between_is_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, ROWS[:2])
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    rows, offset, _ = read_metrics(path)
    assert rows == ROWS[:1]
    path.write_bytes(whole)
    assert read_metrics(path, offset).rows == ROWS[1:2]
    path.write_bytes(whole[:-9] + b"\n\x00\xff garbage\n[]\n" + whole.splitlines(keepends=True)[1])
    assert list(iterate_metrics(path)) == [ROWS[0], ROWS[0]]


def test_a_long_file_is_read_in_parts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, ROWS)
    offset, found, parts = 0, [], 0
    more = True
    while more:
        rows, offset, more = read_metrics(path, offset, limit=150)
        found += rows
        parts += 1
    assert found == ROWS and parts > 2


def test_bytes_without_an_end_do_not_stop_the_reader(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\x00" * 1000 + b"\n")
    append_metrics(path, ROWS[:1])
    offset, found, more = 0, [], True
    while more:
        rows, offset, more = read_metrics(path, offset, limit=200)
        found += rows
    assert found == ROWS[:1]
