"""What is known of one job, gathered from its updates: the same for a live job and for one that ended long ago."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Optional

from sft_tui.core.job import Event, JobState
from sft_tui.store.job_store import JobFolder

LOG_LINES_KEPT = 1000


@dataclass
class JobView:
    """A job as the screens draw it. `state` is None until it was looked at for the first time."""

    folder: JobFolder
    state: Optional[JobState] = None
    losses: list[dict[str, Any]] = field(default_factory=list)  # data of every `training_step` event
    perplexity: dict[str, float] = field(default_factory=dict)  # by step
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)  # by step: done, total (0: not known)
    log_step: str = ""
    log_path: str = ""
    log_lines: Deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES_KEPT))
    log_count: int = 0  # lines of this log so far, kept or not

    @property
    def runs(self) -> bool:
        """The job has not ended."""
        return self.state is not None and not self.state.finished

    def take(self, state: JobState, events: tuple[Event, ...]) -> None:
        """Take over the newest state and what happened."""
        self.state = state
        for event in events:
            if event.kind == "training_step":
                self.losses.append(event.data)
                self.progress[event.step] = (event.data["step"], event.data["steps"])
            elif event.kind == "progress":
                self.progress[event.step] = (event.data["done"], event.data["total"])
            elif event.kind == "perplexity":
                self.perplexity[event.step] = event.data["perplexity"]

    def take_log(self, step: str, path: str, lines: tuple[str, ...]) -> None:
        """Append lines of a log; those of another one take the place of what was there."""
        if (step, path) != (self.log_step, self.log_path):
            self.log_step, self.log_path, self.log_count = step, path, 0
            self.log_lines.clear()
        self.log_lines.extend(lines)
        self.log_count += len(lines)
