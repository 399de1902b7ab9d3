"""jobs metrics: what a training measured, for people, spreadsheets, programs and TensorBoard."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Iterator, Optional

from sft_tui.commands._common.follow import describe_watch_out
from sft_tui.commands._common.report import print_json, say, warn
from sft_tui.commands.jobs import find_shown, find_watch_outs
from sft_tui.core.terminal_text import short_duration
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.metrics.points import COLUMNS, METRICS, Curve, Mark, MetricPoint, MetricRow, smooth, table_rows
from sft_tui.metrics.store import iterate_metrics
from sft_tui.metrics.time_left import RECENT_STEPS, point_of_event, remaining_seconds
from sft_tui.store.job_store import JobFolder

UNITS = {"step_time_ms": "ms", "tokens_per_s": "tokens/s", "time_unix_s": "s"}


def show(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs metrics`."""
    if arguments.csv and arguments.json:
        raise InvalidInputError("Either --csv or --json.", "Both are the same table.")
    folder = find_shown(arguments.id)
    rows = iterate_rows(folder)
    first = next(rows, None)
    if first is None:
        raise InvalidInputError(
            f"Job {folder.id} has measured nothing yet.", f"sft-tui jobs show {folder.id} tells where it stands."
        )
    if arguments.tensorboard:
        count = write_tensorboard(iterate_rows(folder), Path(arguments.tensorboard))
        warn(f"{count} steps of job {folder.id} were written: tensorboard --logdir {arguments.tensorboard}")
    if arguments.csv:
        _print_csv(folder)
    elif arguments.json:
        table = list(table_rows(iterate_rows(folder)))
        signs = [sign.as_data() for sign in find_watch_outs(folder)]
        print_json({"job": folder.id, "units": UNITS, "rows": table, "watch_outs": signs})
    elif not arguments.tensorboard:
        _print_summary(folder)
    return 0


def iterate_rows(folder: JobFolder) -> Iterator[MetricRow]:
    """All rows of a job, also of one that has them among its events."""
    if not folder.metrics.is_file():
        for event in folder.iterate_events("training_step"):
            point = point_of_event(event.data, at=event.time, step_id=event.step)
            if point is not None:
                yield point
    yield from iterate_metrics(folder.metrics)


def _print_csv(folder: JobFolder) -> None:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table_rows(iterate_rows(folder)):
        writer.writerow(row)  # None is an empty field, NaN is nan


def _print_summary(folder: JobFolder) -> None:
    curve = Curve()
    for row in iterate_rows(folder):
        curve.add(row)
    if curve.first is not None and curve.last is not None:
        for line in _describe_curve(curve, curve.first, curve.last):
            say(line)
    for mark in curve.marks:
        held_out = f": held-out loss {mark.loss:.4f}" if mark.loss is not None else ""
        perplexity = f", perplexity {mark.perplexity:.2f}" if mark.perplexity is not None else ""
        say(f"{mark.kind} after step {mark.step}{held_out}{perplexity}")
    for sign in find_watch_outs(folder):
        say(f"watch out: {describe_watch_out(sign)}")


def _describe_curve(curve: Curve, first: MetricPoint, last: MetricPoint) -> list[str]:
    recent = curve.newest(RECENT_STEPS)
    left = remaining_seconds(recent)
    *_, smoothed = smooth(point.loss for point in recent)
    lines = [f"step {last.step} of {last.steps}" + (f", {short_duration(left)} left" if left is not None else "")]
    lines.append(f"loss {first.loss:.4f} -> {last.loss:.4f} (smoothed {smoothed:.4f})")
    for metric in METRICS[1:]:
        value = metric.value(last)
        if value is not None:
            unit = f" {metric.unit}" if metric.unit and metric.unit != metric.title else ""
            lines.append(f"{metric.title} {value:.6g}{unit}")
    for rank, point in sorted(curve.ranks.items()):
        lines.append(f"rank {rank} differed: step {point.step}, loss {point.loss:.4f}, {point.per_step_ms} ms")
    if curve.not_finite:
        lines.append(f"{curve.not_finite} losses were not finite")
    return lines


def write_tensorboard(rows: Iterator[MetricRow], folder: Path) -> int:
    """Write event files that TensorBoard reads; the number of steps. A file that is there stays beside the new one.

    Raises EnvironmentNotFitError without the `tensorboard` package, OSError.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise EnvironmentNotFitError(
            f"The package tensorboard cannot be imported: {error}.",
            f"{sys.executable} -m pip install 'sft-tui[tensorboard]'",
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    writer, count = EventFileWriter(str(folder)), 0
    try:
        for row in rows:
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(row)]
            writer.add_event(Event(wall_time=row.at, step=row.step, summary=Summary(value=values)))
            count += isinstance(row, MetricPoint) and row.rank is None
    finally:
        writer.close()
    return count


def _scalars(row: MetricRow) -> list[tuple[str, float]]:
    """Tags and values of a row; those of other ranks have names of their own."""
    found: list[tuple[str, Optional[float]]]
    if isinstance(row, Mark):
        found = [("held-out/loss", row.loss), ("held-out/perplexity", row.perplexity)]
    else:
        where = "train" if row.rank is None else f"rank_{row.rank}"
        found = [(f"{where}/{metric.key}", metric.value(row)) for metric in METRICS]
        found.append((f"{where}/overflow", float(row.overflow)))
    return [(tag, float(value)) for tag, value in found if value is not None]
