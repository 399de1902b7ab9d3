"""Defines points and marks, what a training measured step by step: lines of metrics.jsonl, curves, tables."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Iterable, Iterator, NamedTuple, Optional, Sequence, Union

from sft_tui.logs.training_log import TrainingStep

METRICS_SCHEMA_VERSION = 1
SMOOTHING = 0.9  # weight of what went before: about ten steps
KEPT_POINTS = 4000  # of a curve on screen: four a column of a terminal as wide as they come
RECENT_POINTS = 1000
LATEST = 1e11  # seconds since the epoch
_MOST = 2**128  # of a whole number in a file: one of 900 digits is no step, and no float


class MetricPoint(NamedTuple):
    """One optimizer step. A tuple, since a long training has a million of them.

    `step` counts from the start of the run; `at` is in seconds since the epoch, when the line was read; `rank` is None
    for the rank whose log has the true loss, others are kept where they differ; `compiled`: the first step of an
    attempt, whose time holds the compilation of the graph.
    """

    step: int
    steps: int
    loss: float
    per_step_ms: int
    learning_rate: Optional[float] = None
    global_norm: Optional[float] = None
    loss_scale: Optional[float] = None
    overflow: bool = False
    tokens_per_s: Optional[float] = None
    rank: Optional[int] = None
    at: float = 0.0
    compiled: bool = False
    step_id: str = "train"


class Mark(NamedTuple):
    """Something beside the curve: kind `checkpoint` or `evaluation` (with held-out loss), after that step."""

    kind: str
    step: int
    at: float = 0.0
    loss: Optional[float] = None
    perplexity: Optional[float] = None


MetricRow = Union[MetricPoint, Mark]


@dataclass(frozen=True)
class Metric:
    """A value of points that can be drawn; `unit` is empty for a plain number."""

    key: str
    title: str
    unit: str
    value: Callable[[MetricPoint], Optional[float]]


METRICS: tuple[Metric, ...] = (
    Metric("loss", "loss", "", lambda p: p.loss),
    Metric("learning_rate", "learning rate", "", lambda p: p.learning_rate),
    # the first step holds the compilation: minutes beside milliseconds
    Metric("step_time", "step time", "ms", lambda p: None if p.compiled else p.per_step_ms),
    Metric("grad_norm", "gradient norm", "", lambda p: p.global_norm),
    Metric("tokens_per_s", "tokens/s", "tokens/s", lambda p: None if p.compiled else p.tokens_per_s),
    Metric("loss_scale", "loss scale", "", lambda p: p.loss_scale),
)


def point_of(
    fact: TrainingStep, *, at: float, tokens_per_step: int = 0, rank: Optional[int] = None, compiled: bool = False,
    step_id: str = "train",
) -> MetricPoint:  # fmt: skip
    """The point of a loss line. `tokens_per_step` 0: not known."""
    speed = round(tokens_per_step * 1000 / fact.per_step_ms, 1) if tokens_per_step and fact.per_step_ms else None
    return MetricPoint(
        fact.global_step, fact.global_steps, fact.loss, fact.per_step_ms, fact.learning_rate, fact.global_norm,
        fact.loss_scale, fact.overflow, speed, rank, round(at, 3), compiled, step_id,
    )  # fmt: skip


# --- lines of metrics.jsonl ------------------------------------------------------------------------------------------


def encode_row(row: MetricRow) -> str:
    """One line; what is as usual is left out. NaN and infinity stay what they are, as Python's json writes them."""
    names, defaults = type(row)._fields, type(row)._field_defaults
    values = {name: value for name, value in zip(names, row) if name not in defaults or value != defaults[name]}
    return json.dumps({"mark": values.pop("kind"), **values} if isinstance(row, Mark) else values, ensure_ascii=False)


def decode_row(line: Union[str, bytes]) -> Optional[MetricRow]:
    """The point or mark of a line; None for a torn line, for the head of the file and for what cannot be understood."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row_from_data(data) if isinstance(data, dict) else None


def row_from_data(data: dict[str, Any]) -> Optional[MetricRow]:
    """The same of data that was read already (also that of the `training_step` events of older jobs)."""
    step = _whole(data, "step")
    if step is None:
        return None
    at = _number(data, "at") or 0.0
    if isinstance(data.get("mark"), str):
        return Mark(data["mark"], step, at, _number(data, "loss"), _number(data, "perplexity"))
    loss, rank = _number(data, "loss"), _whole(data, "rank")
    steps, milliseconds = _whole(data, "steps"), _whole(data, "per_step_ms")
    if loss is None or steps is None or milliseconds is None:
        return None
    return MetricPoint(
        step, steps, loss, milliseconds, _number(data, "learning_rate"), _number(data, "global_norm"),
        _number(data, "loss_scale"), data.get("overflow") is True, _number(data, "tokens_per_s"),
        rank, at, data.get("compiled") is True, str(data.get("step_id", "train")),
    )  # fmt: skip


def _number(data: dict[str, Any], name: str) -> Optional[float]:
    value = data.get(name)
    return value if type(value) is float or (type(value) is int and abs(value) <= _MOST) else None


def _whole(data: dict[str, Any], name: str) -> Optional[int]:
    value = data.get(name)
    return value if type(value) is int and abs(value) <= _MOST else None


# --- curves ----------------------------------------------------------------------------------------------------------


@dataclass
class Curve:
    """The points of one training, however many: the newest all, older ones thinned so that extremes stay."""

    points: list[MetricPoint] = field(default_factory=list)
    recent: Deque[MetricPoint] = field(default_factory=lambda: deque(maxlen=RECENT_POINTS))
    ranks: dict[int, MetricPoint] = field(default_factory=dict)  # the newest point of each rank that differs
    marks: list[Mark] = field(default_factory=list)
    first: Optional[MetricPoint] = None
    not_finite: int = 0  # losses that are NaN or infinite

    @property
    def last(self) -> Optional[MetricPoint]:
        """The newest point."""
        return self.recent[-1] if self.recent else None

    def add(self, row: MetricRow) -> None:
        """Take over what was read."""
        if isinstance(row, Mark):
            self.marks.append(row)
        elif row.rank is not None:
            self.ranks[row.rank] = row
        else:
            self.first = self.first or row
            self.not_finite += not math.isfinite(row.loss)
            self.recent.append(row)
            self.points.append(row)
            if len(self.points) > 2 * KEPT_POINTS:
                self.points = thin(self.points)

    def newest(self, count: int) -> Sequence[MetricPoint]:
        """The last `count` points (at most those that are kept in full); 0: all, thinned where there are many."""
        return self.points if not count else list(self.recent)[-count:]


def thin(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Half of the points: of each four those with the least and the greatest loss. The last one stays."""
    kept: list[MetricPoint] = []
    for start in range(0, len(points) - 1, 4):
        group = range(start, min(start + 4, len(points) - 1))
        low, high = min(group, key=lambda i: _height(points[i])), max(group, key=lambda i: _height(points[i]))
        kept += [points[i] for i in sorted({low, high})]
    return [*kept, *points[-1:]]


def _height(point: MetricPoint) -> float:
    return point.loss if math.isfinite(point.loss) else math.inf


def smooth(values: Iterable[float], weight: float = SMOOTHING) -> Iterator[float]:
    """The exponential mean of values so far, without the pull to zero at its start; passes over what is not finite."""
    mean = share = 0.0
    for value in values:
        if math.isfinite(value):
            mean, share = weight * mean + (1 - weight) * value, weight * share + (1 - weight)
        yield mean / share if share else math.nan


def series(points: Iterable[MetricPoint], metric: Metric) -> tuple[list[int], list[float]]:
    """Steps and finite values of a metric."""
    pairs = [(p.step, v) for p in points if (v := metric.value(p)) is not None and math.isfinite(v)]
    return [step for step, _ in pairs], [float(value) for _, value in pairs]


def reduce_columns(xs: Sequence[float], ys: Sequence[float], columns: int) -> tuple[list[float], list[float]]:
    """At most two points a column, the lowest and the highest, in their order: a spike of one step stays visible.

    `xs` do not fall.
    """
    if columns < 1 or len(xs) <= 2 * columns:
        return list(xs), list(ys)
    width = (xs[-1] - xs[0]) / columns or 1.0
    best: dict[int, tuple[int, int]] = {}
    for index, x in enumerate(xs):
        column = min(columns - 1, int((x - xs[0]) / width))
        low, high = best.get(column, (index, index))
        best[column] = (index if ys[index] < ys[low] else low, index if ys[index] > ys[high] else high)
    chosen = sorted({index for pair in best.values() for index in pair})
    return [xs[i] for i in chosen], [ys[i] for i in chosen]


# --- tables ----------------------------------------------------------------------------------------------------------

COLUMNS = (
    "step", "steps", "loss", "loss_smoothed", "learning_rate", "step_time_ms", "tokens_per_s", "grad_norm", "overflow",
    "loss_scale", "rank", "time_unix_s", "mark", "held_out_loss", "held_out_perplexity",
)  # fmt: skip


def table_rows(rows: Iterable[MetricRow]) -> Iterator[dict[str, Union[int, float, str, bool, None]]]:
    """Each row with all COLUMNS; None where it has nothing to say. Units are in the names."""
    mean = share = 0.0
    for row in rows:
        known: dict[str, Union[int, float, str, bool, None]] = dict.fromkeys(COLUMNS)
        if isinstance(row, Mark):
            known.update(
                step=row.step, time_unix_s=row.at, mark=row.kind, held_out_loss=row.loss,
                held_out_perplexity=row.perplexity,
            )  # fmt: skip
        else:
            known.update(
                step=row.step, steps=row.steps, loss=row.loss, learning_rate=row.learning_rate,
                step_time_ms=row.per_step_ms, tokens_per_s=row.tokens_per_s, grad_norm=row.global_norm,
                overflow=row.overflow, loss_scale=row.loss_scale, rank=row.rank, time_unix_s=row.at,
            )  # fmt: skip
            if row.rank is None:
                if math.isfinite(row.loss):
                    mean, share = SMOOTHING * mean + (1 - SMOOTHING) * row.loss, SMOOTHING * share + (1 - SMOOTHING)
                known["loss_smoothed"] = mean / share if share else None
        yield known
