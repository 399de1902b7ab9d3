"""How commands speak: results on stdout, progress and errors on stderr, plain lines where there is no terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Mapping

from sft_tui.commands._common.output_gate import beside_gate
from sft_tui.core.problem import Problem
from sft_tui.core.progress import Progress
from sft_tui.core.terminal_text import escape_json, neutralise, short_duration, short_size
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_LINE_SECONDS = 1.0


def print_json(value: object) -> None:
    """One JSON object on stdout; what is no number is null, and nothing in it can draw on a terminal."""
    print_json_text(json.dumps(finite(value), ensure_ascii=False, indent=1, default=str))


def print_json_text(text: str) -> None:
    """JSON that is text already."""
    print(escape_json(text))


def finite(value: object) -> object:
    """The value without numbers that JSON does not know."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def say(text: str) -> None:
    """A line for people on stdout."""
    print(neutralise(text), flush=True)


def warn(text: str) -> None:
    """A line for people on stderr."""
    print(neutralise(text), file=sys.stderr, flush=True)


def ask(question: str, *, default: bool = False) -> bool:
    """A question with yes or no. Raises InvalidInputError where nobody can answer."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} Nobody is there to ask.", "--yes answers beforehand.")
    warn(f"{question} [{'Y/n' if default else 'y/N'}]")
    answer = sys.stdin.readline().strip().lower()
    return answer in ("y", "yes") if answer else default


class StatusLine:
    """A line on stderr that is drawn over itself; without a terminal, plain lines."""

    def __init__(self) -> None:
        self.is_live = sys.stderr.isatty()
        self._drawn = False

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._drawn:
            print(file=sys.stderr)

    def show(self, text: str) -> None:
        """Say this instead of what stands there."""
        if not self.is_live:
            warn(text)
            return
        self._drawn = True
        print(f"\r\x1b[2K{neutralise(text)}", end="", file=beside_gate(sys.stderr), flush=True)


def print_problems(problems: tuple[Problem, ...]) -> None:
    """Every problem with its field and what to do."""
    for problem in problems:
        warn(f"{problem.severity}: {problem.field}: {problem.message}")
        if problem.hint:
            warn(f"    {problem.hint}")


class ProgressReport:
    """Shows progress on stderr: a bar on a terminal, otherwise a line a second that `parse_line` understands."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._printed = 0.0
        self._told: Progress | None = None
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressReport:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            from sft_tui.commands._common.gated_console import GatedConsole

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeRemainingColumn(),
            )
            self._rich = RichProgress(*columns, console=GatedConsole())
            self._task = self._rich.add_task(self._label, total=None, amount="")
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def __call__(self, progress: Progress) -> None:
        if progress == self._told:
            return
        self._told = progress
        if self._rich is not None and self._task is not None:
            amount = f"{_amount(progress, progress.done)} {self._rate(progress)}"
            self._rich.update(self._task, total=progress.total or None, completed=progress.done, amount=amount)
            return
        now = time.monotonic()
        if now - self._printed >= PLAIN_LINE_SECONDS or progress.done == progress.total:
            self._printed = now
            warn(self._line(progress))

    def _line(self, progress: Progress) -> str:
        elapsed = time.monotonic() - self._started
        eta = ""
        if 0 < progress.done < progress.total:
            eta = f", {short_duration(elapsed / progress.done * (progress.total - progress.done))} left"
        at = f" {progress.label}" if progress.label else ""
        amount = f"{progress.done}/{progress.total} {progress.unit}"
        return f"progress: {self._label} {amount} ({self._rate(progress)}{eta}){at}"

    def _rate(self, progress: Progress) -> str:
        return f"{_amount(progress, progress.done / max(1e-6, time.monotonic() - self._started))}/s"


def _amount(progress: Progress, count: float) -> str:
    return short_size(count) if progress.unit == "bytes" else f"{count:.0f} {progress.unit}"


def say_remarks(remarks: Mapping[str, Mapping[str, int]], on_unread: str) -> None:
    """Which fields of the records were not read, each once with its count; and what else is to be known of them."""
    from sft_tui.dataset.read.remarks import remark_lines

    for line in remark_lines(remarks, with_unread=on_unread != "ignore"):
        warn(f"note: {line}")
