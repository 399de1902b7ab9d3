"""What is known of one job, gathered from its updates: the same for a live job and for one that ended long ago."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Optional

from sft_tui.core.job import Event, JobState
from sft_tui.diagnosis.text import describe_first_cause
from sft_tui.metrics.alerts import WatchOut, read_watch_out, severity
from sft_tui.metrics.points import Curve, MetricPoint, MetricRow
from sft_tui.store.job_store import JobFolder

LOG_LINES_KEPT = 1000


@dataclass
class JobView:
    """A job as the screens draw it. `state` is None until it was looked at for the first time."""

    folder: JobFolder
    state: Optional[JobState] = None
    curve: Curve = field(default_factory=Curve)
    signs: dict[str, WatchOut] = field(default_factory=dict)  # watch-outs that are not over, by kind
    perplexity: dict[str, float] = field(default_factory=dict)  # by step
    first_cause: dict[str, str] = field(default_factory=dict)  # of steps that failed
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)  # by step: done, total (0: not known)
    log_step: str = ""
    log_path: str = ""
    log_lines: Deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES_KEPT))
    log_count: int = 0  # lines of this log so far, kept or not

    @property
    def runs(self) -> bool:
        """The job has not ended."""
        return self.state is not None and not self.state.finished

    @property
    def watch_outs(self) -> list[WatchOut]:
        """What is not over, the worst first."""
        return sorted(self.signs.values(), key=lambda sign: (severity(sign.kind), -sign.since))

    def take(self, state: JobState, events: tuple[Event, ...], rows: tuple[MetricRow, ...] = ()) -> None:
        """Take over the newest state, what happened and what was measured."""
        self.state = state
        for event in events:
            if event.kind == "progress":
                self.progress[event.step] = (event.data["done"], event.data["total"])
            elif event.kind == "perplexity":
                self.perplexity[event.step] = event.data["perplexity"]
            elif event.kind == "diagnosis":
                self.first_cause[event.step] = describe_first_cause(event.data)
            elif event.kind == "watch_out" and (sign := read_watch_out(event.data)) is not None:
                self.signs.pop(sign.kind, None)
                if not sign.over:
                    self.signs[sign.kind] = sign
        for row in rows:
            self.curve.add(row)
            if isinstance(row, MetricPoint) and row.rank is None:
                self.progress[row.step_id] = (row.step, row.steps)

    def take_log(self, step: str, path: str, lines: tuple[str, ...]) -> None:
        """Append lines of a log; those of another one take the place of what was there."""
        if (step, path) != (self.log_step, self.log_path):
            self.log_step, self.log_path, self.log_count = step, path, 0
            self.log_lines.clear()
        self.log_lines.extend(lines)
        self.log_count += len(lines)

    @property
    def succeeded(self) -> bool:
        """The job ended well."""
        return self.state is not None and self.state.outcome == "succeeded"

    def end_text(self) -> str:
        """How the job ended, in a sentence for the user."""
        assert self.state is not None
        if not self.succeeded:
            return f"The job has ended. {self.state.headline()}"
        whole = any(step.id == "summary" and step.status == "done" for step in self.state.steps)
        return "The job has succeeded: Results (F9)." if whole else "The job has succeeded."

    @property
    def stop_question(self) -> str:
        """What is asked before the job is stopped, or killed while it is being stopped."""
        if self.state is not None and self.state.lifecycle == "stopping":
            return "Kill what still runs, without waiting?"
        return (
            "Stop the job? Steps that are done stay done. A training saves a checkpoint first, if it can, "
            "and goes on from there later; another step starts over."
        )
