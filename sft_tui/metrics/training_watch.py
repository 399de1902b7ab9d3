"""Turns what the logs of a training say into points, marks and alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from sft_tui.core.plan import Step
from sft_tui.logs.training_log import TrainingStep
from sft_tui.logs.worker_logs import rank_of_log
from sft_tui.metrics.alerts import WatchOut, WatchOuts
from sft_tui.metrics.checkpoint_space import look_at_space
from sft_tui.metrics.points import Mark, MetricPoint, MetricRow, point_of
from sft_tui.metrics.rank_watch import RankWatch

SPACE_SECONDS = 60.0


class TrainingWatch:
    """The measured side of one step. `clock` is monotonic, `at` in seconds since the epoch."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._signs = WatchOuts()
        self._rows: list[MetricRow] = []
        self._last: Optional[MetricPoint] = None
        self._rank = rank_of_log(Path(step.training_log))
        self._ranks = RankWatch(Path(step.training_log)) if step.training_log else None
        self._looked_at_space = 0.0

    def take_step(self, fact: TrainingStep, clock: float, at: float) -> None:
        """A loss line of the rank whose loss counts."""
        first = self._last is None
        point = self._last = point_of(
            fact, at=at, tokens_per_step=self._step.tokens_per_step, compiled=first, step_id=self._step.id
        )
        self._rows.append(point)
        self._signs.take_point(point, clock)
        if self._ranks is not None:
            self._ranks.note(point)
            if not first:
                self._signs.take_rank(self._rank, point.step, point.per_step_ms, at)

    def take_saving(self, at: float) -> None:
        """A checkpoint is being saved."""
        self._mark("checkpoint", at)
        self._signs.take_saving()
        self._looked_at_space = 0.0  # its size may be known for the first time

    def take_evaluation(self, at: float, loss: Optional[float], perplexity: Optional[float] = None) -> None:
        """Held-out data was looked at."""
        self._mark("evaluation", at, loss, perplexity)

    def look(self, clock: float, at: float, *, ended: bool = False, stopping: bool = False) -> None:
        """Look at what no line of the log tells: other ranks, time, disk."""
        if self._last is None:
            return
        if self._ranks is not None:
            points = self._ranks.look(clock, at, now=ended)
            self._signs.expect_ranks(self._ranks.count + 1)
            for point in points:
                if point.rank is not None and point.step > 1:
                    self._signs.take_rank(point.rank, point.step, point.per_step_ms, at)
                if self._ranks.differs(point, clock):
                    self._rows.append(point._replace(step_id=self._step.id))
        if self._step.checkpoint_dir and clock - self._looked_at_space > SPACE_SECONDS:
            self._looked_at_space = clock
            space = look_at_space(Path(self._step.checkpoint_dir))
            if space is not None:
                self._signs.take_disk(*space, at)
        if ended:
            self._signs.end()
        elif not stopping:  # asked to end, it saves and says no more
            self._signs.tick(clock, at)

    def take_rows(self) -> list[MetricRow]:
        """Points and marks since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def take_signs(self) -> list[WatchOut]:
        """Watch-outs that began or ended since the last call."""
        return self._signs.news()

    def close(self) -> None:
        """The step has ended."""
        if self._ranks is not None:
            self._ranks.close()

    def _mark(self, kind: str, at: float, loss: Optional[float] = None, perplexity: Optional[float] = None) -> None:
        self._rows.append(Mark(kind, self._last.step if self._last else 0, round(at, 3), loss, perplexity))
