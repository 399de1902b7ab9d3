"""Monitor: progress, loss, log tail, host load."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Sparkline

from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.job_text import (
    describe_host,
    describe_job,
    describe_loss,
    describe_progress,
    finite_losses,
    short_log_line,
)
from sft_tui.tui.job_view import LOG_LINES_KEPT, JobView
from sft_tui.tui.screens.base import WizardScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.following_log import FollowingLog
from sft_tui.tui.widgets.text_block import TextBlock

BRIEF_BELOW = 36  # rows: all steps of a plan leave no room for the log


class MonitorScreen(WizardScreen):
    """A job, live or long finished."""

    STEP = "monitor"
    AUTO_FOCUS = "#log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "app.show_logs", "Logs"),
        Binding("ctrl+d", "app.show_devices", "Devices"),
        Binding("ctrl+k", "app.stop_job", "Stop job"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._log_shown = ("", "", 0)  # step, path and number of lines in the log panel

    def compose_content(self) -> ComposeResult:
        yield TextBlock(id="job")
        yield TextBlock(id="progress")
        yield TextBlock(id="loss")
        with Horizontal(id="chart"):
            yield TextBlock(id="chart-range")
            yield Sparkline([], id="loss-line")
        yield TextBlock(id="host")
        yield TextBlock(id="log-title")
        yield FollowingLog(id="log", max_lines=LOG_LINES_KEPT)

    def on_resize(self) -> None:
        self.draw(self.session)

    def draw(self, session: Session) -> None:
        super().draw(session)
        job, room = session.job, self.app.size
        self.query_one("#job", TextBlock).show(describe_job(job, brief=room.height < BRIEF_BELOW))
        self.query_one("#progress", TextBlock).show(describe_progress(job, self.query_one("#content").size.width - 3))
        self.query_one("#loss", TextBlock).show(describe_loss(job))
        self._draw_chart(finite_losses(job))
        self.query_one("#host", TextBlock).show(describe_host(session))
        self._draw_log(job)

    def _draw_chart(self, losses: list[float]) -> None:
        self.query_one("#chart").display = len(losses) > 1
        if len(losses) < 2:
            return
        line = self.query_one(Sparkline)
        if line.data != losses:
            line.data = losses
        self.query_one("#chart-range", TextBlock).show(Content(f"max {max(losses):.3g}\n\nmin {min(losses):.3g}"))

    def _draw_log(self, job: JobView | None) -> None:
        """Append what is new, so that a person who scrolled up stays where they are."""
        log = self.query_one(FollowingLog)
        log.display = job is not None and job.log_count > 0
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
