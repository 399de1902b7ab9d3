"""Monitor: progress, watch-outs, the curve of a training, log tail, host load."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import SftError
from sft_tui.metrics.points import METRICS, series
from sft_tui.paths import terminal_is_utf8
from sft_tui.tui import bridge
from sft_tui.tui.job_view import LOG_LINES_KEPT, JobView
from sft_tui.tui.screens.dialogs.compare import CompareChooser
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import Session
from sft_tui.tui.text.job_text import (
    describe_host,
    describe_job,
    describe_loss,
    describe_measures,
    describe_progress,
    describe_watch_outs,
    short_log_line,
)
from sft_tui.tui.text.plot_text import LAST_STEPS, PlotChoice
from sft_tui.tui.widgets.following_log import FollowingLog
from sft_tui.tui.widgets.metric_plot import MetricPlot
from sft_tui.tui.widgets.text_block import TextBlock

BRIEF_BELOW = 36  # rows: all steps of a plan leave no room for the log
PLOT_LEAST_ROWS = 7
PLOT_ACTIONS = ("metric", "scale", "zoom", "compare", "room")


class MonitorScreen(WizardScreen):
    """A job, live or long finished."""

    STEP = "monitor"
    AUTO_FOCUS = "#log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "app.show_logs", "Logs"),
        Binding("ctrl+d", "app.show_devices", "NPUs"),
        Binding("ctrl+k", "app.stop_job", "Stop job"),
        Binding("ctrl+o", "other_run", show=False),
        # told by the plot's own caption: the footer of a narrow terminal has no room for all
        Binding("m", "metric", show=False),
        Binding("l", "scale", show=False),
        Binding("z", "zoom", show=False),
        Binding("c", "compare", show=False),
        Binding("p", "room", "Plot"),
    ]

    VERTICAL_BREAKPOINTS = [(0, "-low"), (BRIEF_BELOW, "-high")]  # noqa: RUF012 - no ClassVar in Textual

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._log_shown = ("", "", 0)  # step, path and number of lines in the log panel
        self._had_curve = False

    def compose_content(self) -> ComposeResult:
        yield TextBlock(id="job")
        yield TextBlock(id="progress")
        yield TextBlock(id="watch-out")
        yield TextBlock(id="loss")
        yield TextBlock(id="measures")
        yield MetricPlot(id="plot", braille=terminal_is_utf8())
        yield TextBlock(id="host")
        yield TextBlock(id="log-title")
        yield FollowingLog(id="log", max_lines=LOG_LINES_KEPT)

    def on_resize(self) -> None:
        self.draw(self.session)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of the plot are there once there is a curve."""
        allowed = super().check_action(action, parameters)
        return allowed and (action not in PLOT_ACTIONS or self._has_curve)

    @property
    def _has_curve(self) -> bool:
        job = self.session.job
        return job is not None and job.curve.last is not None

    def draw(self, session: Session) -> None:
        super().draw(session)
        job, room = session.job, self.app.size
        self.query_one("#job", TextBlock).show(describe_job(job, brief=room.height < BRIEF_BELOW))
        self.query_one("#progress", TextBlock).show(describe_progress(job, self.query_one("#content").size.width - 3))
        self.query_one("#watch-out", TextBlock).show(describe_watch_outs(job))
        self.query_one("#loss", TextBlock).show(describe_loss(job))
        measures = describe_measures(job) if room.height >= BRIEF_BELOW else Content("")
        self.query_one("#measures", TextBlock).show(measures)
        self._draw_plot(job)
        self.query_one("#host", TextBlock).show(describe_host(session.host))
        self._draw_log(job)

    def _draw_plot(self, job: JobView | None) -> None:
        if self._has_curve != self._had_curve:
            self._had_curve = self._has_curve
            self.refresh_bindings()
        plot, shows = self.query_one(MetricPlot), self.session.monitor_shows
        plot.display = job is not None and self._has_curve and shows != "log"
        if job is None or not plot.display:
            return
        share = max(PLOT_LEAST_ROWS, self.app.size.height // 3)
        plot.styles.height = "1fr" if shows == "plot" else share
        plot.show(job.curve, self.session.plot, self.session.compared)

    def action_metric(self) -> None:
        """Draw the next metric of which there are values."""
        job, choice = self.session.job, self.session.plot
        points = job.curve.newest(0) if job else []
        for further in range(1, len(METRICS) + 1):
            index = (choice.metric + further) % len(METRICS)
            if len(series(points, METRICS[index])[0]) > 1:
                break
        self._choose(replace(choice, metric=index))

    def action_scale(self) -> None:
        """Linear or logarithmic."""
        self._choose(replace(self.session.plot, logarithmic=not self.session.plot.logarithmic))

    def action_zoom(self) -> None:
        """All steps, the last 200, the last 50."""
        index = LAST_STEPS.index(self.session.plot.last) + 1
        self._choose(replace(self.session.plot, last=LAST_STEPS[index % len(LAST_STEPS)]))

    async def action_other_run(self) -> None:
        """Follow a training that was not started here, by the folder of its logs."""
        from sft_tui.tui.screens.dialogs.path_picker import PathPicker
        from sft_tui.tui.screens.external_run import ForeignScreen

        def chosen(path: str | None) -> None:
            if path:
                self.app.push_screen(ForeignScreen(Path(path)))

        start = await asyncio.to_thread(Path.cwd)
        self.app.push_screen(PathPicker(start, kind="folder", title="The folder with the logs of a run"), chosen)

    def action_room(self) -> None:
        """Plot and log, the plot alone, the log alone."""
        following: dict[str, Literal["both", "plot", "log"]] = {"both": "plot", "plot": "log", "log": "both"}
        self.session.monitor_shows = following[self.session.monitor_shows]
        self.draw(self.session)

    def action_compare(self) -> None:
        """Draw the curve of another job as well, or no longer."""
        if self.session.plot.compared:
            self.session.compared = None
            self._choose(replace(self.session.plot, compared=""))
        elif self.session.job is not None:
            self.run_worker(self._offer_jobs(self.session.job.folder.id), exclusive=True)

    async def _offer_jobs(self, this: str) -> None:
        jobs = await asyncio.to_thread(bridge.comparable_jobs, this)
        if not jobs:
            self.notify("No other job has measured a training.", timeout=5)
            return
        self.app.push_screen(CompareChooser(jobs), self._job_chosen)

    def _job_chosen(self, job: str | None) -> None:
        if job:
            self.run_worker(self._load(job), exclusive=True)

    async def _load(self, job: str) -> None:
        try:
            curve = await asyncio.to_thread(bridge.load_curve, job)
        except (SftError, OSError) as error:
            self.notify(neutralise(f"Job {job} could not be read: {error}"), severity="warning", markup=False)
            return
        self.session.compared = curve
        self._choose(replace(self.session.plot, compared=job))

    def _choose(self, choice: PlotChoice) -> None:
        self.session.plot = choice
        self.draw(self.session)

    def _draw_log(self, job: JobView | None) -> None:
        """Append what is new, so that a person who scrolled up stays where they are."""
        log = self.query_one(FollowingLog)
        beside = self.session.monitor_shows != "plot" or not self._has_curve
        log.display = self.query_one("#log-title").display = job is not None and job.log_count > 0 and beside
        if job is None or (job.log_step, job.log_path, job.log_count) == self._log_shown:
            return
        step, path, count = self._log_shown
        fresh = (job.log_step, job.log_path) != (step, path) or job.log_count < count
        missing = job.log_count if fresh else job.log_count - count
        lines = list(job.log_lines)[-missing:] if missing else []
        if fresh:
            log.clear()
            log.following = True
            title = Content.assemble((f"log of {job.log_step}", "bold"), (f"  {neutralise(job.log_path)}", "dim"))
            self.query_one("#log-title", TextBlock).show(title)
        if lines:
            log.add_lines([short_log_line(line) for line in lines])
        self._log_shown = (job.log_step, job.log_path, job.log_count)
