"""Shows a running job in the terminal: bars where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Sequence

from sft_tui.commands._common.report import PLAIN_LINE_SECONDS, say, warn
from sft_tui.core.job import Event, JobState
from sft_tui.core.terminal_text import neutralise, short_duration, short_size
from sft_tui.diagnosis.text import describe_first_cause
from sft_tui.errors import StoppedError
from sft_tui.jobs import client
from sft_tui.jobs.read_state import HALTED
from sft_tui.logs.tail import iterate_lines
from sft_tui.metrics.alerts import WatchOut, read_watch_out
from sft_tui.metrics.points import MetricPoint
from sft_tui.metrics.time_left import RECENT_STEPS, remaining_seconds

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sft_tui.store.job_store import JobFolder

SUMMARY_LINES = 1000
REHEARSAL_NOTICE = "REHEARSAL on a toy model: it shows the way, its answers mean nothing."


def attach(folder: JobFolder) -> int:
    """Follow a job to its end; Ctrl-C detaches. The exit code is the job's, 0 when detached."""
    try:
        state = follow_job(folder)
    except (KeyboardInterrupt, StoppedError):
        warn(
            f"\nDetached: job {folder.id} goes on. sft-tui jobs attach {folder.id} comes back,"
            f" sft-tui jobs stop {folder.id} ends it."
        )
        return 0
    sys.stdout.flush()
    return state.exit_code


def follow_job(folder: JobFolder) -> JobState:
    """Print what happens until the job has ended; the last state."""
    view = _BarView() if sys.stderr.isatty() else _LineView()
    say(f"job {folder.id}")
    state = folder.load_state()
    if state.rehearsal:
        say(REHEARSAL_NOTICE)
    halted = False
    with view:
        for update in client.watch(folder):
            state = update.state
            if (HALTED in state.reason) is not halted:
                halted = not halted
                say(f"job {state.id}: {state.reason}. {state.hint}" if halted else f"job {state.id} goes on")
            for item in update.in_order():
                if isinstance(item, Event):
                    view.show(item, state)
                elif isinstance(item, MetricPoint) and item.rank is None:
                    view.measure(item)
            view.count_down(state.countdown(time.time()))
    _print_end(folder, state)
    return state


def _print_end(folder: JobFolder, state: JobState) -> None:
    seconds = (state.ended_at or time.time()) - (state.started_at or state.submitted_at)
    say(f"job {state.headline()} ({short_duration(seconds)})")
    for text in (*state.notes, state.hint):
        if text:
            say(f"    {text}")
    step = state.current_step
    if step is not None and state.outcome in ("failed", "lost"):
        say(f"    log: {folder.step_log(step.id)}")
    if state.outcome == "succeeded":
        text = "\n".join(islice(iterate_lines(folder.step_log("summary")), SUMMARY_LINES)).rstrip()
        if text:
            say(text)


def describe_progress(data: dict[str, Any]) -> str:
    """`12.0 MB of 20.1 MB` or `32 of 64 rows`."""
    done, total, unit = data["done"], data["total"], data["unit"]
    if unit == "bytes":
        return f"{short_size(done)} of {short_size(total)}"
    return f"{done} of {total} {unit}"


def describe_training_step(points: Sequence[MetricPoint]) -> str:
    """`step 12/64  loss 3.412  231 ms/step  12 s left`, of the last of the points so far."""
    last, left = points[-1], remaining_seconds(points)
    text = f"step {last.step}/{last.steps}  loss {last.loss:.4f}  {last.per_step_ms} ms/step"
    return f"{text}  {short_duration(left)} left" if left is not None else text


def describe_watch_out(sign: WatchOut) -> str:
    """One line: what, since when, what to look at."""
    return sign.sentence(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sign.since)))


def describe_event(event: Event, state: JobState) -> str:
    """One line for a person, or an empty string for what needs no line."""
    title = state.step(event.step).title if event.step else ""
    if event.kind == "step_started":
        return f"{title} ..."
    if event.kind == "step_skipped":
        return f"{title}: {state.step(event.step).reason or 'done before'}"
    if event.kind == "step_finished":
        step = state.step(event.step)
        seconds = short_duration((step.ended_at or event.time) - (step.started_at or event.time))
        return f"{title}: {event.data['status']} in {seconds}"
    if event.kind == "perplexity":
        return f"{title}: perplexity {event.data['perplexity']:.2f} (loss {event.data['loss']:.4f})"
    if event.kind == "diagnosis":
        return describe_first_cause(event.data)
    if event.kind == "node_news":
        return str(event.data["text"])
    if event.kind == "job_waits":
        return str(event.data["reason"])
    if event.kind == "watch_out":
        sign = read_watch_out(event.data)
        return f"watch out: {describe_watch_out(sign)}" if sign else ""
    if event.kind == "stop_asked":
        saves = "to save a checkpoint and end" if event.data.get("saves") else "to end"
        return f"stopping: {title} has {event.data['grace_seconds']:.0f} s {saves}"
    if event.kind == "kill_sent":
        return f"stopping: what still ran was killed ({event.data['processes']} processes)"
    if event.kind == "stop_checked":
        return str(event.data.get("device_memory", ""))
    return ""


class _LineView:
    """Plain lines, at most one of progress a second."""

    def __init__(self) -> None:
        self._printed = 0.0
        self._points: deque[MetricPoint] = deque(maxlen=RECENT_STEPS)

    def __enter__(self) -> _LineView:
        return self

    def __exit__(self, *_exception: object) -> None:
        return None

    def count_down(self, text: str) -> None:
        """Lines do not change: that of the stop has said how long it may take."""

    def show(self, event: Event, state: JobState) -> None:
        """Print the event."""
        line = describe_event(event, state)
        if line:
            say(line)
        elif event.kind == "progress" and self._is_time():
            warn(f"  {describe_progress(event.data)}")

    def measure(self, point: MetricPoint) -> None:
        """Print the step of training."""
        self._points.append(point)
        if point.step == point.steps or self._is_time():
            warn(f"  {describe_training_step(tuple(self._points))}")

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._printed < PLAIN_LINE_SECONDS:
            return False
        self._printed = now
        return True


class _BarView:
    """One bar for the running step, above it the lines of what has ended."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from sft_tui.commands._common.gated_console import GatedConsole

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        self._progress: Progress = Progress(*columns, console=GatedConsole(highlight=False), transient=True)
        self._task: TaskID | None = None
        self._points: deque[MetricPoint] = deque(maxlen=RECENT_STEPS)

    def __enter__(self) -> _BarView:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def show(self, event: Event, state: JobState) -> None:
        """Print the event or move the bar."""
        if event.kind == "step_started":
            self._clear()
            self._task = self._progress.add_task(state.step(event.step).title, total=None, detail="")
            return
        line = describe_event(event, state)
        if line:
            if event.kind in ("step_finished", "step_skipped"):
                self._clear()
            self._progress.console.print(neutralise(line), markup=False)
        elif self._task is not None and event.kind == "progress":
            data = event.data
            self._progress.update(
                self._task, total=data["total"] or None, completed=data["done"], detail=describe_progress(data)
            )

    def measure(self, point: MetricPoint) -> None:
        """Move the bar on by a step of training."""
        self._points.append(point)
        if self._task is not None:
            detail = describe_training_step(tuple(self._points))
            self._progress.update(self._task, total=point.steps, completed=point.step, detail=detail)

    def count_down(self, text: str) -> None:
        """How long until what still runs is killed, beside the bar."""
        if text and self._task is not None:
            self._progress.update(self._task, detail=text)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
