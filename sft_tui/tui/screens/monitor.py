"""Monitor: progress, loss, log tail, host load."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Log, Sparkline, Static

from sft_tui.core.events import remaining_seconds
from sft_tui.core.job import Event, JobState, StepState
from sft_tui.core.terminal_text import neutralise, short_duration, short_size
from sft_tui.tui.screens.base import WizardScreen
from sft_tui.tui.session import Session

_SIGNS = {"todo": "·", "running": "~", "done": "✓", "skipped": "✓", "not_needed": "-", "failed": "!", "stopped": "!"}
LOG_LINES_KEPT = 2000


class MonitorScreen(WizardScreen):
    """A job, live or long finished."""

    STEP = "monitor"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+k", "stop_job", "Stop job")]

    class StopAsked(Message):
        """The user wants the job to end."""

    def compose_content(self) -> ComposeResult:
        yield Static(id="job")
        yield Static(id="loss")
        yield Sparkline([], id="loss-line")
        yield Static(id="host")
        yield Static(id="log-title")
        yield Log(id="log", max_lines=LOG_LINES_KEPT)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stop only what runs."""
        return self.session.job_runs if action == "stop_job" else True

    def action_stop_job(self) -> None:
        """Stop the running job, after a question."""
        self.post_message(self.StopAsked())

    def draw(self, session: Session) -> None:
        super().draw(session)
        self.refresh_bindings()
        self.query_one("#about").display = False
        state = session.job_state
        self.query_one("#job", Static).update(_job(state, session.events))
        losses = [e.data for e in session.events if e.kind == "training_step"]
        self.query_one("#loss", Static).update(_loss(losses))
        line = self.query_one("#loss-line", Sparkline)
        line.display = len(losses) > 1
        line.data = [float(d["loss"]) for d in losses]
        self.query_one("#host", Static).update(_host(session))

    def add_log(self, title: str, lines: tuple[str, ...], *, fresh: bool) -> None:
        """Append lines of the running step's log; `fresh`: another log than before."""
        log = self.query_one(Log)
        if fresh:
            log.clear()
            self.query_one("#log-title", Static).update(Content.styled(f"log of {title}", "bold"))
        log.write_lines([neutralise(line) for line in lines])


def _job(state: JobState | None, events: list[Event]) -> Content:
    if state is None:
        return Content("No job of this profile yet. Review & launch (F7) starts one.")
    colour = {"succeeded": "$success", "failed": "$error", "lost": "$error"}.get(state.outcome or "", "$warning")
    lines = [Content.assemble((f"{state.id}  ", "bold"), (neutralise(state.headline()), colour))]
    if state.hint:
        lines.append(Content.styled(neutralise(state.hint), "dim"))
    lines += [_step(step, events) for step in state.steps]
    return Content("\n").join(lines)


def _step(step: StepState, events: list[Event]) -> Content:
    text = f"{_SIGNS[step.status]} {step.title}"
    if step.started_at and step.status != "skipped":
        text += f"  {short_duration((step.ended_at or time.time()) - step.started_at)}"
    detail = _progress(step, events) if step.status == "running" else step.reason
    perplexity = next(
        (e.data["perplexity"] for e in reversed(events) if e.kind == "perplexity" and e.step == step.id), None
    )
    if perplexity is not None:
        detail = f"perplexity {perplexity:.2f}"
    style = {"running": "$warning", "failed": "$error"}.get(step.status, "")
    return Content.assemble((text, style), (f"  {neutralise(detail)}" if detail else "", "dim"))


def _progress(step: StepState, events: list[Event]) -> str:
    for event in reversed(events):
        if event.step != step.id:
            return ""
        if event.kind == "progress":
            done, total = event.data["done"], event.data["total"]
            return f"{100 * done / total:.0f} %" if total else str(done)
        if event.kind == "training_step":
            return f"step {event.data['step']} of {event.data['steps']}"
    return ""


def _loss(losses: list[dict[str, Any]]) -> Content:
    if not losses:
        return Content("")
    last, left = losses[-1], remaining_seconds(losses)
    text = f"loss {losses[0]['loss']:.3f} -> {last['loss']:.3f}  step {last['step']}/{last['steps']}"
    if left is not None:
        text += f"  {last['per_step_ms']} ms/step  {short_duration(left)} left"
    return Content.styled(text, "bold")


def _host(session: Session) -> Content:
    host = session.host
    if host is None:
        return Content("")
    memory = f"{short_size(host.memory_used)} of {short_size(host.memory_total)}"
    text = f"host  cpu {host.cpu_percent:.0f} % of {host.cores} cores  load {host.load_1min:.1f}  memory {memory}"
    return Content.styled(f"{text}  disk {short_size(host.disk_free)} free", "dim")
