"""Turns what a running step writes into its logs into events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sft_tui.core.job import EventKind
from sft_tui.core.plan import Step
from sft_tui.core.progress import Progress
from sft_tui.core.training_log import LoadedWeights, NodeNews, Perplexity, TrainingStep, parse_line
from sft_tui.jobs.log_tail import LogTail

READS_A_CALL = 8  # of 1 MB each at most


class StepWatch:
    """Reads the new lines of a step's logs; keeps in `facts` what the judgement of the step needs."""

    def __init__(self, step: Step, log: Path) -> None:
        self.facts: dict[str, Any] = {}
        self._trained: TrainingStep | None = None
        self._tail = LogTail(Path(step.training_log) if step.training_log else log)
        # msrun opens its workers' logs anew: what stands there now is of an earlier run
        self._stale = _size_and_time(self._tail.path) if step.training_log else None

    @property
    def trains(self) -> bool:
        """A step of training was seen."""
        return self._trained is not None

    @property
    def all_trained(self) -> bool:
        """The last step of training was seen."""
        return self._trained is not None and self._trained.global_step >= self._trained.global_steps

    def read(self, *, to_the_end: bool = False) -> list[tuple[EventKind, dict[str, Any]]]:
        """Events since the last call; of progress only the newest.

        One call reads a bounded amount, so that a step that floods its log cannot hold up a request to stop;
        `to_the_end` is for a step that has ended.
        """
        if self._stale is not None:
            if _size_and_time(self._tail.path) == self._stale:
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
                    events.extend(self._note(fact))
        if progress is not None:
            events.append(("progress", _progress(progress)))
        return events

    def close(self) -> None:
        """The step has ended."""
        self._tail.close()

    def _note(
        self, fact: TrainingStep | Perplexity | LoadedWeights | NodeNews
    ) -> list[tuple[EventKind, dict[str, Any]]]:
        if isinstance(fact, TrainingStep):
            compiled, self._trained = self._trained is None, fact
            return [("training_step", {**_training_step(fact), "compiled": compiled})]
        if isinstance(fact, NodeNews):
            return [("node_news", {"text": fact.text})]
        if isinstance(fact, Perplexity):
            self.facts.update(loss=fact.loss, perplexity=fact.perplexity)
            return [("perplexity", {"loss": fact.loss, "perplexity": fact.perplexity})]
        self.facts["not_loaded"] = list(fact.not_loaded)
        return []


def _training_step(fact: TrainingStep) -> dict[str, Any]:
    return {
        "step": fact.global_step,
        "steps": fact.global_steps,
        "loss": fact.loss,
        "per_step_ms": fact.per_step_ms,
        "learning_rate": fact.learning_rate,
        "global_norm": fact.global_norm,
        "overflow": fact.overflow,
    }


def _progress(fact: Progress) -> dict[str, Any]:
    return {"done": fact.done, "total": fact.total, "unit": fact.unit, "label": fact.label}


def _size_and_time(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
