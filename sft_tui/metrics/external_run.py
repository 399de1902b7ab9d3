"""Follows a training that somebody else started, by its logs alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from sft_tui.core.plan import Step
from sft_tui.logs.files import LogFile, find_logs_below
from sft_tui.logs.pages import LogPages
from sft_tui.logs.tail import LogTail
from sft_tui.logs.training_log import CheckpointSaved, EvaluatedMeanwhile, Perplexity, TrainingStep, parse_line
from sft_tui.metrics.alerts import WatchOut
from sft_tui.metrics.points import MetricRow
from sft_tui.metrics.training_watch import TrainingWatch

QUIET_SECONDS = 600.0  # a log that nobody has written for so long is of a run that has ended
READS_A_LOOK = 32
_SEEN_LINES = 200  # at the end of a log, in which a step of training is looked for


@dataclass(frozen=True)
class ForeignLook:
    """What came since the look before; `age`: seconds since the log was written, None where there is none."""

    path: str
    lines: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    signs: tuple[WatchOut, ...]
    age: Optional[float]


class ForeignRun:
    """For one thread. `top` is the folder that holds the logs, somewhere."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._log: Optional[Path] = None
        self._tail: Optional[LogTail] = None
        self._watch: Optional[TrainingWatch] = None
        self._trained: Optional[TrainingStep] = None

    def logs(self) -> list[LogFile]:
        """All logs of the run."""
        return find_logs_below(self.top)

    def look(self) -> ForeignLook:
        """Read on. Raises OSError."""
        if self._log is None:
            self._begin()
        if self._log is None or self._tail is None or self._watch is None:
            return ForeignLook("", (), (), (), None)
        age = time.time() - self._log.stat().st_mtime
        clock, at = time.monotonic(), time.time()
        lines: list[str] = []
        for _ in range(READS_A_LOOK):
            new, more = self._tail.read_some()
            lines += new
            if not more:
                break
        for line in lines:
            self._take(line, clock, at)
        done = self._trained is not None and self._trained.global_step >= self._trained.global_steps
        self._watch.look(clock, at, ended=done or age > QUIET_SECONDS)
        return ForeignLook(
            str(self._log), tuple(lines), tuple(self._watch.take_rows()), tuple(self._watch.take_signs()), age
        )

    def _begin(self) -> None:
        self._log = _training_log(self.logs())
        if self._log is not None:
            self._tail = LogTail(self._log)
            step = Step(id="train", title="Train", argv=(), cwd=str(self.top), training_log=str(self._log))
            self._watch = TrainingWatch(step)

    def _take(self, line: str, clock: float, at: float) -> None:
        fact = parse_line(line)
        assert self._watch is not None
        if isinstance(fact, TrainingStep):
            self._trained = fact
            self._watch.take_step(fact, clock, at)
        elif isinstance(fact, CheckpointSaved):
            self._watch.take_saving(at)
        elif isinstance(fact, EvaluatedMeanwhile):
            self._watch.take_evaluation(at, fact.loss)
        elif isinstance(fact, Perplexity):
            self._watch.take_evaluation(at, fact.loss, fact.perplexity)


def _training_log(logs: list[LogFile]) -> Optional[Path]:
    """The log to follow: of the last rank, where it tells of steps (the last pipeline stage has the true loss)."""
    order = {"msrun": 0, "MindFormers": 1, "other": 2, "CANN": 3}
    liked = sorted(logs, key=lambda log: (order[log.writer], -(log.rank if log.rank is not None else -1)))
    for log in liked[:50]:
        pages = LogPages(log.path)
        if any("per_step_time" in line.text for line in pages.before(pages.size(), _SEEN_LINES).lines):
            return log.path
    newest = max(logs, key=lambda log: log.path.stat().st_mtime, default=None)
    return newest.path if newest else None
