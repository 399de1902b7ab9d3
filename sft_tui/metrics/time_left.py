"""Estimates the time left of a training from its points; and makes points of the events of older jobs."""

from __future__ import annotations

from statistics import median
from typing import Any, Optional, Sequence

from sft_tui.metrics.points import MetricPoint, row_from_data

RECENT_STEPS = 50


def remaining_seconds(points: Sequence[MetricPoint]) -> Optional[float]:
    """Seconds of training left, from its points; None while it cannot be told.

    The first step of an attempt holds the compilation of the graph and does not count.
    """
    counted = [point.per_step_ms for point in points[-RECENT_STEPS:] if point.step > 1 and not point.compiled]
    if not counted:
        return None
    last = points[-1]
    return (last.steps - last.step) * median(counted) / 1000 if last.step < last.steps else None


def point_of_event(data: dict[str, Any], *, at: float, step_id: str) -> Optional[MetricPoint]:
    """The point that an older job kept as a `training_step` event."""
    row = row_from_data({**data, "at": at, "step_id": step_id})
    return row if isinstance(row, MetricPoint) else None
