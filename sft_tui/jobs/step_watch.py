"""Turns what a running step writes into its logs into events and metrics."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from sft_tui.core.job import EventKind
from sft_tui.core.plan import Step
from sft_tui.core.progress import Progress
from sft_tui.jobs.record import say
from sft_tui.logs.tail import LogTail
from sft_tui.logs.training_log import (
    CheckpointSaved,
    EvaluatedMeanwhile,
    LoadedWeights,
    LogFact,
    NodeNews,
    Perplexity,
    TrainingStep,
    parse_line,
)
from sft_tui.metrics.points import MetricRow
from sft_tui.metrics.rank_watch import sign_log
from sft_tui.metrics.training_watch import TrainingWatch

READS_A_CALL = 8  # of 1 MB each at most


class News(NamedTuple):
    """What came since the last look: events with their data, and rows of the metrics."""

    events: list[tuple[EventKind, dict[str, Any]]]
    rows: list[MetricRow]


class StepWatch:
    """Reads the new lines of a step's logs; keeps in `facts` what the judgement of the step needs."""

    def __init__(self, step: Step, log: Path) -> None:
        self.facts: dict[str, Any] = {}
        self._trained: TrainingStep | None = None
        self._training: Optional[TrainingWatch] = TrainingWatch(step)
        self._tail = LogTail(Path(step.training_log) if step.training_log else log)
        # msrun opens its workers' logs anew: what stands there now is of an earlier run
        self._stale = sign_log(self._tail.path) if step.training_log else None

    @property
    def trains(self) -> bool:
        """A step of training was seen."""
        return self._trained is not None

    @property
    def all_trained(self) -> bool:
        """The last step of training was seen."""
        return self._trained is not None and self._trained.global_step >= self._trained.global_steps

    def read(self, *, ended: bool = False, to_the_end: bool = False, stopping: bool = False) -> News:
        """What came since the last call; of progress only the newest.

        One call reads a bounded amount, so that a step that floods its log cannot hold up a request to stop;
        `to_the_end` is for a step that has ended, `ended` for one whose logs need not be read to their end.
        """
        clock, at = time.monotonic(), time.time()
        events = self._read_lines(clock, at, to_the_end=to_the_end)
        self._measure(lambda training: training.look(clock, at, ended=ended or to_the_end, stopping=stopping))
        if self._training is None:
            return News(events, [])
        events += [("watch_out", sign.as_data()) for sign in self._training.take_signs()]
        return News(events, self._training.take_rows())

    def _measure(self, tell: Callable[[TrainingWatch], None]) -> None:
        """Tell it something. A defect there must not end what is trained: it is noted, and nothing more is measured."""
        if self._training is None:
            return
        try:
            tell(self._training)
        except Exception:  # noqa: BLE001 - see above
            say(traceback.format_exc())
            self._training.close()
            self._training = None

    def close(self) -> None:
        """The step has ended."""
        self._tail.close()
        if self._training is not None:
            self._training.close()

    def _read_lines(self, clock: float, at: float, *, to_the_end: bool) -> list[tuple[EventKind, dict[str, Any]]]:
        if self._stale is not None:
            if sign_log(self._tail.path) == self._stale:
                return []
            self._stale = None
        events: list[tuple[EventKind, dict[str, Any]]] = []
        progress: Progress | None = None
        reads = 0
        while (to_the_end or reads < READS_A_CALL) and (lines := self._tail.read_lines()):
            reads += 1
            for line in lines:
                fact = parse_line(line)
                if isinstance(fact, Progress):
                    progress = fact
                elif fact is not None:
                    events.extend(self._note(fact, clock, at))
        if progress is not None:
            events.append(("progress", _progress(progress)))
        return events

    def _note(self, fact: LogFact, clock: float, at: float) -> list[tuple[EventKind, dict[str, Any]]]:
        if isinstance(fact, TrainingStep):
            self._trained = fact
            self._measure(lambda training: training.take_step(fact, clock, at))
        elif isinstance(fact, CheckpointSaved):
            if self._trained is not None:
                self._measure(lambda training: training.take_saving(at))
        elif isinstance(fact, EvaluatedMeanwhile):
            self._measure(lambda training: training.take_evaluation(at, fact.loss))
        elif isinstance(fact, NodeNews):
            return [("node_news", {"text": fact.text})]
        elif isinstance(fact, Perplexity):
            self.facts.update(loss=fact.loss, perplexity=fact.perplexity)
            self._measure(lambda training: training.take_evaluation(at, fact.loss, fact.perplexity))
            return [("perplexity", {"loss": fact.loss, "perplexity": fact.perplexity})]
        elif isinstance(fact, LoadedWeights):
            self.facts["not_loaded"] = list(fact.not_loaded)
        return []


def _progress(fact: Progress) -> dict[str, Any]:
    return {"done": fact.done, "total": fact.total, "unit": fact.unit, "label": fact.label}
