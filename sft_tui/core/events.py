"""What can be read from a row of events."""

from __future__ import annotations

from statistics import median
from typing import Any, Optional, Sequence

RECENT_STEPS = 50


def remaining_seconds(training_steps: Sequence[dict[str, Any]]) -> Optional[float]:
    """Seconds of training left, from the data of `training_step` events; None while it cannot be told.

    The first step of an attempt holds the compilation of the graph and does not count.
    """
    recent = training_steps[-RECENT_STEPS:]
    counted = [step["per_step_ms"] for step in recent if step["step"] > 1 and not step.get("compiled")]
    if not counted:
        return None
    last = training_steps[-1]
    left = (last["steps"] - last["step"]) * median(counted) / 1000
    return left if last["step"] < last["steps"] else None
