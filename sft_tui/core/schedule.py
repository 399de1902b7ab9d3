"""Computes what a training will do with a dataset: rows to batches to optimizer steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The way from records to steps.

    `rows_per_rank` a rank reads in an epoch, `rows_per_step` for one optimizer step; `left_out` rows of a rank fill no
    step at the end of an epoch; `steps` is for the whole run.
    """

    rows_per_rank: int
    rows_per_step: int
    steps_per_epoch: int
    left_out: int
    steps: int


def build_schedule(
    records: int,
    *,
    batch_size: int,
    data_parallel: int = 1,
    epochs: int = 1,
    accumulation: int = 1,
    drop_remainder: bool = True,
    sink_size: int = 0,
) -> Schedule:
    """The steps of a run; all numbers but `records` are at least 1, `sink_size` 0 means no sink mode.

    MindDataset gives every rank ceil(records / ranks) rows and begins again where they do not go round (seen with
    MindSpore 2.7.2). MindFormers makes batches of batch_size x accumulation rows, and in sink mode runs
    int(steps of an epoch / sink_size x epochs) rounds of sink_size steps (its trainer of 1.7): with a sink_size above
    the steps of the whole run these are none.
    """
    if min(batch_size, data_parallel, epochs, accumulation) < 1 or records < 0 or sink_size < 0:
        raise ValueError("a schedule needs positive numbers")
    rows = -(-records // data_parallel)
    rows_per_step = batch_size * accumulation
    per_epoch, left = divmod(rows, rows_per_step)
    if left and not drop_remainder:
        per_epoch, left = per_epoch + 1, 0
    steps = per_epoch * epochs
    if sink_size:
        steps = per_epoch * epochs // sink_size * sink_size
    return Schedule(rows, rows_per_step, per_epoch, left, steps)
