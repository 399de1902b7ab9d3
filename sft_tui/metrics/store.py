"""Appends to and reads metrics.jsonl of a job: one point or mark a line; its supervisor alone writes.

`metrics.jsonl` holds each step of training and its marks; `events.jsonl` holds what happened. Jobs from before have
their steps among the events: `JobWatch` makes points of both.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

from sft_tui.files.append import append_line
from sft_tui.files.regular_file import NotRegularError, open_regular
from sft_tui.metrics.points import METRICS_SCHEMA_VERSION, MetricRow, decode_row, encode_row

READ_AT_MOST = 8 << 20  # bytes a call: some 40,000 points
_HEAD = json.dumps({"schema_version": METRICS_SCHEMA_VERSION, "kind": "metrics"})


class MetricsRead(NamedTuple):
    """Rows, the offset to go on from, and whether there is more already."""

    rows: list[MetricRow]
    offset: int
    more: bool


def append_metrics(path: Path, rows: Sequence[MetricRow]) -> None:
    """Append rows with one write, whole or not at all; the file begins with its version. Raises OSError."""
    head = [] if path.exists() else [_HEAD]
    append_line(path, "\n".join([*head, *map(encode_row, rows)]))


def read_metrics(path: Path, offset: int = 0, *, limit: int = READ_AT_MOST) -> MetricsRead:
    """Rows from a byte offset on. A torn last line is left for later, one in between is passed over.

    Raises OSError, but for a file that is not there: a job that has measured nothing.
    """
    try:
        handle = open_regular(path)
    except (FileNotFoundError, NotRegularError):
        return MetricsRead([], offset, False)
    try:
        data = os.pread(handle, limit, offset)
    finally:
        os.close(handle)
    end = data.rfind(b"\n") + 1
    if not end and len(data) == limit:  # no line of ours is so long
        return MetricsRead([], offset + limit, True)
    rows = [row for line in data[:end].split(b"\n") if line and (row := decode_row(line)) is not None]
    return MetricsRead(rows, offset + end, len(data) == limit)


def iterate_metrics(path: Path) -> Iterator[MetricRow]:
    """All rows, a part of the file in memory at a time. Raises OSError."""
    offset, more = 0, True
    while more:
        rows, offset, more = read_metrics(path, offset)
        yield from rows
