"""What a supervisor writes of its job: state, events, metrics, also over a time when the disk is full."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from typing import Any, Optional, Sequence

from sft_tui.core.job import Event, EventKind, StepExit
from sft_tui.core.plan import Step
from sft_tui.metrics.points import Mark, MetricRow
from sft_tui.metrics.store import append_metrics
from sft_tui.store.job_store import JobFolder

MAX_UNWRITTEN_EVENTS = 10_000
MAX_UNWRITTEN_ROWS = 100_000  # of metrics; some 20 MB


class JobRecord:
    """The state of a job and its events; `state` is what the files say, or will say once there is room."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.state = folder.load_state()
        self._unsaved = False
        self._unwritten: deque[Event] = deque()
        self._rows: list[MetricRow] = []
        self._last_step = 0
        self._dropped = 0
        self._exits: list[StepExit] = []
        self._full_since: Optional[float] = None

    @property
    def is_behind(self) -> bool:
        """Something could not be written yet."""
        return self._unsaved or bool(self._unwritten) or bool(self._exits) or bool(self._rows)

    @property
    def is_blocked(self) -> bool:
        """What could not be written will never be: something else stands where a file of the job was."""
        paths = (self.folder.events, self.folder.metrics, self.folder.path / "state.json", self.folder.path / "exits")
        return any(path.exists() and path.is_file() is (path.name == "exits") for path in paths)

    def update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of JobState
        """Change the state."""
        self.state = self.state.model_copy(update=changes)
        self._save()

    def update_step(self, step: Step, **changes: Any) -> None:  # noqa: ANN401 - fields of StepState
        """Change the state of a step."""
        self.state = self.state.with_step(step.id, **changes)
        self._save()

    def note(self, text: str) -> None:
        """Add a note for people."""
        self.update(notes=(*self.state.notes, text))

    def save_exit(self, record: StepExit) -> None:
        """Write how a step ended."""
        self._exits.append(record)
        self._write_exits()

    def emit(self, kind: EventKind, step: Step | None = None, data: dict[str, Any] | None = None) -> None:
        """Append an event."""
        self._unwritten.append(Event(kind=kind, time=time.time(), step=step.id if step else "", data=data or {}))
        self._write_events()
        if len(self._unwritten) > MAX_UNWRITTEN_EVENTS:
            # what is of most of them can be missed best
            spare = next((e for e in self._unwritten if e.kind == "progress"), self._unwritten[0])
            self._unwritten.remove(spare)
            self._dropped += 1

    def measure(self, rows: Sequence[MetricRow]) -> None:
        """Append points and marks; a mark without a step of its own is of the last one that was told."""
        for row in rows:
            self._last_step = max(self._last_step, row.step)
            self._rows.append(row._replace(step=self._last_step) if isinstance(row, Mark) else row)
        if self._rows and rows:
            self._write_rows()

    def catch_up(self) -> None:
        """Write again what a full disk had no room for, and say what is missing."""
        self._write_events()
        self._write_rows()
        self._write_exits()
        if self._unsaved:
            self._save()
        if self._full_since is not None and not self.is_behind:
            since, self._full_since = self._full_since, None
            lost = f"{self._dropped} events or points are missing" if self._dropped else "nothing is missing"
            self._dropped = 0
            self.note(f"the disk was full from {_clock(since)} to {_clock(time.time())}; {lost}")

    def _save(self) -> None:
        try:
            self.folder.save_state(self.state)
            self._unsaved = False
        except OSError as error:
            if not self._unsaved:
                say(f"state not saved: {error}")
            self._unsaved = True
            self._full_since = self._full_since or time.time()

    def _write_exits(self) -> None:
        while self._exits:
            try:
                self.folder.save_exit(self._exits[0])
            except OSError as error:
                if not self._full_since:
                    say(f"exit of {self._exits[0].step} not written: {error}")
                self._full_since = self._full_since or time.time()
                return
            self._exits.pop(0)

    def _write_rows(self) -> None:
        if not self._rows:
            return
        try:
            append_metrics(self.folder.metrics, self._rows)
            self._rows = []
        except OSError as error:
            if not self._full_since:
                say(f"metrics not written: {error}")
            self._full_since = self._full_since or time.time()
            excess = len(self._rows) - MAX_UNWRITTEN_ROWS
            if excess > 0:
                del self._rows[:excess]
                self._dropped += excess

    def _write_events(self) -> None:
        while self._unwritten:
            try:
                self.folder.append_event(self._unwritten[0])
            except OSError as error:
                if len(self._unwritten) == 1:
                    say(f"event not written: {error}")
                self._full_since = self._full_since or time.time()
                return
            self._unwritten.popleft()


def say(text: str) -> None:
    """Into supervisor.log, if there is room."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="replace"))


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
