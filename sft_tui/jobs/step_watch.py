"""Turns what a running step writes into its logs into events and metrics."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any, Callable, NamedTuple

from sft_tui.core.job import EventKind
from sft_tui.core.plan import Step
from sft_tui.core.progress import Progress
from sft_tui.jobs.record import say
from sft_tui.logs.tail import LogTail
from sft_tui.logs.training_log import (
    FACT_WORDS,
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

SECONDS_A_CALL = 0.25  # of reading: who asks to stop is heard after it


class News(NamedTuple):
    """What came since the last look: events with their data, rows of the metrics, and whether there is more."""

    events: list[tuple[EventKind, dict[str, Any]]]
    rows: list[MetricRow]
    more: bool = False


class StepWatch:
    """Reads the new lines of a step's logs; keeps in `facts` what the judgement of the step needs."""

    def __init__(self, step: Step, log: Path) -> None:
        self.facts: dict[str, Any] = {}
        self._trained: TrainingStep | None = None
        self._training = TrainingWatch(step)
        self._tail = LogTail(Path(step.training_log) if step.training_log else log, words=FACT_WORDS)
        self._defect_told = False
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

    def read(self, *, ended: bool = False, stopping: bool = False) -> News:
        """What came since the last call; of progress only the newest.

        One call reads for a bounded time, so that a step that floods its log cannot hold up a request to stop: there
        may be `more`. `ended`: the step has ended.
        """
        clock, at = time.monotonic(), time.time()
        events, more = self._read_lines(clock, at)
        self._measure(lambda training: training.look(clock, at, ended=ended, stopping=stopping))
        events += [("watch_out", sign.as_data()) for sign in self._training.take_signs()]
        return News(events, self._training.take_rows(), more)

    def _measure(self, tell: Callable[[TrainingWatch], None]) -> None:
        """Tell it something. A defect there costs what it was told, not the training."""
        try:
            tell(self._training)
        except Exception:  # noqa: BLE001 - see above
            if not self._defect_told:
                self._defect_told = True
                say(traceback.format_exc())

    def close(self) -> None:
        """The step has ended."""
        self._tail.close()
        self._training.close()

    def _read_lines(self, clock: float, at: float) -> tuple[list[tuple[EventKind, dict[str, Any]]], bool]:
        if self._stale is not None:
            if sign_log(self._tail.path) == self._stale:
                return [], False
            self._stale = None
        events: list[tuple[EventKind, dict[str, Any]]] = []
        progress: Progress | None = None
        more = True
        while more and time.monotonic() - clock < SECONDS_A_CALL:
            lines, more = self._tail.read_some()
            for line in lines:
                fact = parse_line(line)
                if isinstance(fact, Progress):
                    progress = fact
                elif fact is not None:
                    events.extend(self._note(fact, clock, at))
        if progress is not None:
            events.append(("progress", _progress(progress)))
        return events, more

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
