"""Reads step times and losses of the other ranks of this host from their own logs."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from pathlib import Path
from typing import Optional

from sft_tui.logs.tail import LogTail
from sft_tui.logs.training_log import TrainingStep, parse_line
from sft_tui.logs.worker_logs import rank_of_log, worker_logs
from sft_tui.metrics.points import MetricPoint, point_of

LOOK_SECONDS = 2.0
READS_A_LOOK = 8  # of every rank
SECONDS_A_LOOK = 0.25  # of reading; the ranks that had no turn come first in the next look
STEPS_KEPT = 256  # of the rank whose loss counts, to compare with
POINT_SECONDS = 10.0  # of one rank at most one point in this time
STEP_WORD = b"per_step_time: "
LOSS_DIFFERS, TIME_DIFFERS = 1e-3, 0.2

LogSign = tuple[int, int, int]


def sign_log(path: Path) -> Optional[LogSign]:
    """Tells a log from the one that stood there before; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class RankWatch:
    """The other workers' logs beside the one that a step is judged by; made before the step starts."""

    def __init__(self, training_log: Path) -> None:
        self._main = training_log
        # msrun opens its workers' logs anew: what stands there now is of an earlier run, maybe of one with more workers
        self._stale = {path: sign_log(path) for path in self._logs()}
        self._tails: Optional[dict[int, LogTail]] = None
        self._points: OrderedDict[int, MetricPoint] = OrderedDict()
        self._kept_at: dict[int, float] = {}
        self._read_at: dict[int, float] = {}
        self._looked = -math.inf

    @property
    def count(self) -> int:
        """Ranks that are read beside the one whose loss counts."""
        return len(self._tails or {})

    def note(self, point: MetricPoint) -> None:
        """A step of the rank whose loss counts."""
        self._points[point.step] = point
        if len(self._points) > STEPS_KEPT:
            self._points.popitem(last=False)

    def look(self, clock: float, at: float, *, now: bool = False) -> list[MetricPoint]:
        """Steps that other ranks have told since the last look; at most one look in 2 s, but `now`."""
        if not self._points or (clock - self._looked < LOOK_SECONDS and not now):
            return []
        self._looked = clock
        if self._tails is None:  # all ranks have a step behind them: all logs are there
            self._tails = {
                rank_of_log(path): LogTail(path, words=(STEP_WORD,)) for path in self._logs() if self._is_fresh(path)
            }
        points: list[MetricPoint] = []
        began = time.monotonic()
        for rank in sorted(self._tails, key=lambda rank: self._read_at.get(rank, -math.inf)):
            if time.monotonic() - began > SECONDS_A_LOOK:
                break
            self._read_at[rank] = clock
            points += _read(rank, self._tails[rank], at)
        return points

    def differs(self, point: MetricPoint, clock: float) -> bool:
        """Whether the rank's point is worth keeping beside that of the same step."""
        main = self._points.get(point.step)
        if main is None or point.rank is None or clock - self._kept_at.get(point.rank, -math.inf) < POINT_SECONDS:
            return False
        same = (
            point.overflow == main.overflow
            and (math.isclose(point.loss, main.loss, rel_tol=LOSS_DIFFERS) or point.loss != point.loss != main.loss)
            and (point.compiled or math.isclose(point.per_step_ms, main.per_step_ms, rel_tol=TIME_DIFFERS))
        )
        if not same:
            self._kept_at[point.rank] = clock
        return not same

    def close(self) -> None:
        """The step has ended."""
        for tail in (self._tails or {}).values():
            tail.close()

    def _logs(self) -> list[Path]:
        main = rank_of_log(self._main)
        return [path for path in worker_logs(self._main) if rank_of_log(path) < main]

    def _is_fresh(self, path: Path) -> bool:
        return sign_log(path) != self._stale.get(path)


def _read(rank: int, tail: LogTail, at: float) -> list[MetricPoint]:
    points = []
    more, reads = True, 0
    while more and reads < READS_A_LOOK:
        lines, more = tail.read_some()
        reads += 1
        for line in lines:
            fact = parse_line(line)
            if isinstance(fact, TrainingStep):
                points.append(point_of(fact, at=at, rank=rank, compiled=fact.global_step == 1))
    return points
