"""A training that somebody else started: its curve, its watch-outs, its logs, and why it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from sft_tui.core.terminal_text import neutralise, short_duration
from sft_tui.diagnosis.read_logs import read_logs
from sft_tui.diagnosis.remedies import title
from sft_tui.diagnosis.verdict import Verdict, diagnose
from sft_tui.errors import SftError
from sft_tui.metrics.external_run import ForeignLook, ForeignRun
from sft_tui.metrics.points import METRICS, series
from sft_tui.paths import terminal_is_utf8
from sft_tui.store.job_store import JobFolder
from sft_tui.tui.background import Background
from sft_tui.tui.bridge import LOOK_SECONDS, BackgroundFailed
from sft_tui.tui.job_view import LOG_LINES_KEPT, JobView
from sft_tui.tui.screens.logs import LogsScreen
from sft_tui.tui.text.job_text import describe_loss, describe_measures, describe_watch_outs, short_log_line
from sft_tui.tui.text.plot_text import LAST_STEPS, PlotChoice
from sft_tui.tui.widgets.following_log import FollowingLog
from sft_tui.tui.widgets.key_line import KeyLine
from sft_tui.tui.widgets.metric_plot import MetricPlot
from sft_tui.tui.widgets.text_block import TextBlock


class ForeignScreen(Screen[None]):
    """Follows the logs of a folder."""

    AUTO_FOCUS = "#log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "logs", "Logs"),
        Binding("d", "diagnose", "First cause"),
        Binding("m", "metric", show=False),
        Binding("l", "scale", show=False),
        Binding("z", "zoom", show=False),
        Binding("escape,q", "dismiss", "Back"),
    ]

    @dataclass
    class Looked(Message):
        """There may be news of the run."""

        look: ForeignLook

    def __init__(self, top: Path) -> None:
        super().__init__(id="foreign-screen")
        self._run = ForeignRun(top)
        self._view = JobView(JobFolder(top))
        self._choice = PlotChoice(comparable=False)
        self._background = Background(self.post_message)
        self._age: float | None = None
        self._looked = False

    def compose(self) -> ComposeResult:
        yield TextBlock(id="foreign-head")
        yield TextBlock(id="loss")
        yield TextBlock(id="measures")
        yield TextBlock(id="watch-out")
        with VerticalScroll(id="foreign-cause", can_focus=False):
            yield TextBlock(id="cause")
        yield MetricPlot(id="plot", braille=terminal_is_utf8())
        yield FollowingLog(id="log", max_lines=LOG_LINES_KEPT)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#foreign-cause").display = False
        self._background.repeat(lambda: self.Looked(self._run.look()), LOOK_SECONDS)
        self._draw()

    def on_unmount(self) -> None:
        self._background.close()

    @on(Looked)
    def _take(self, message: Looked) -> None:
        look = message.look
        self._looked, self._age = True, look.age
        for row in look.rows:
            self._view.curve.add(row)
        for sign in look.signs:
            self._view.signs.pop(sign.kind, None)
            if not sign.over:
                self._view.signs[sign.kind] = sign
        if look.lines:
            self.query_one(FollowingLog).add_lines([short_log_line(line) for line in look.lines[-LOG_LINES_KEPT:]])
            self._view.take_log("run", look.path, ())
        self._draw()

    @on(BackgroundFailed)
    def _failed(self, message: BackgroundFailed) -> None:
        message.stop()
        self.notify(neutralise(message.message), severity="warning", markup=False)

    def _draw(self) -> None:
        self.query_one("#foreign-head", TextBlock).show(self._head())
        self.query_one("#loss", TextBlock).show(describe_loss(self._view))
        self.query_one("#measures", TextBlock).show(describe_measures(self._view))
        self.query_one("#watch-out", TextBlock).show(describe_watch_outs(self._view))
        plot = self.query_one(MetricPlot)
        plot.display = self._view.curve.last is not None
        if plot.display:
            plot.styles.height = max(7, self.app.size.height // 3)
            plot.show(self._view.curve, self._choice, None)

    def _head(self) -> Content:
        parts: list[tuple[str, str]] = [
            (" another's run ", "bold reverse"),
            (f" {neutralise(str(self._run.top))}", "bold"),
        ]
        if not self._looked:
            parts.append(("  looking ...", "dim"))
        elif self._age is None:
            parts.append(("  there is no log in this folder yet", "$warning"))
        else:
            parts.append((f"  written {short_duration(self._age // 2 * 2)} ago", "dim"))
        return Content.assemble(*parts)

    def action_logs(self) -> None:
        """All logs of the run."""
        self.app.push_screen(LogsScreen(self._run.top.name or "run", self._run.logs, self._view.log_path))

    def action_diagnose(self) -> None:
        """Read all logs for the first cause of a failure."""
        self.query_one("#foreign-cause").display = True
        self.query_one("#cause", TextBlock).show(Content.styled("reading the logs ...", "dim"))
        self.run_worker(self._diagnose(), exclusive=True)

    async def _diagnose(self) -> None:
        try:
            evidence = await asyncio.to_thread(read_logs, self._run.top)
            verdict = await asyncio.to_thread(diagnose, evidence.logs)
            text = _describe(verdict)
        except (SftError, OSError) as error:
            text = neutralise(str(error))
        self.query_one("#cause", TextBlock).show(Content(text))

    def action_metric(self) -> None:
        """Draw the next metric of which there are values."""
        points = self._view.curve.newest(0)
        for further in range(1, len(METRICS) + 1):
            index = (self._choice.metric + further) % len(METRICS)
            if len(series(points, METRICS[index])[0]) > 1:
                break
        self._choice = replace(self._choice, metric=index)
        self._draw()

    def action_scale(self) -> None:
        """Linear or logarithmic."""
        self._choice = replace(self._choice, logarithmic=not self._choice.logarithmic)
        self._draw()

    def action_zoom(self) -> None:
        """All steps, or the last ones."""
        index = LAST_STEPS.index(self._choice.last) + 1
        self._choice = replace(self._choice, last=LAST_STEPS[index % len(LAST_STEPS)])
        self._draw()


def _describe(verdict: Verdict) -> str:
    """The verdict in a few lines."""
    if not verdict.failed:
        return "Nothing failed: no error was found in the logs."
    if verdict.category == "unknown" or not verdict.file:
        return f"The first cause is not known. {verdict.remedy_en}"
    rank = f"rank {verdict.rank}, " if verdict.rank is not None else ""
    sure = "sure" if verdict.sure else "not sure"
    return "\n".join(
        (
            f"First cause ({sure}): {title(verdict.category, 'en')}  {rank}{neutralise(verdict.file)}:{verdict.line}",
            f"says: {neutralise(verdict.quote)[:300]}",
            f"do: {verdict.remedy_en}",
        )
    )
