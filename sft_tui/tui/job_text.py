"""A job in words and bars, for the monitor."""

from __future__ import annotations

import math
import re
import time
from typing import Iterable, Optional

from textual.content import Content

from sft_tui.core.events import remaining_seconds
from sft_tui.core.job import JobState, StepState
from sft_tui.core.terminal_text import neutralise, short_duration, short_size
from sft_tui.tui.job_view import JobView
from sft_tui.tui.session import Session

_SIGNS = {"todo": "·", "running": "~", "done": "✓", "skipped": "✓", "not_needed": "-", "failed": "!", "stopped": "!"}
_COLOURS = {"succeeded": "$success", "failed": "$error", "lost": "$error"}
# `date time,ms - path[file:line] - LEVEL - `: more than a narrow terminal has room for
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d),\d+ - \S{1,300} - (?P<level>[A-Z]+) - ")


def describe_job(view: Optional[JobView], *, brief: bool) -> Content:
    """Headline and steps; `brief`: steps that are done or still wait share a line each."""
    if view is None:
        return Content("No job of this profile yet. Review & launch (F7) shows what would run; ctrl+r starts it.")
    state = view.state
    if state is None:
        return Content(f"{view.folder.id}  looking ...")
    colour = _COLOURS.get(state.outcome or "", "$warning")
    lines = [Content.assemble((f"{state.id}  ", "bold"), (neutralise(state.headline()), colour))]
    if countdown := state.countdown(time.time()):
        lines.append(Content.styled(f"{countdown}  (ctrl+k: at once)", "$warning"))
    here = "ctrl+r here does the same" if state.finished and f"sft-tui run {state.profile}" in state.hint else ""
    lines += [Content.styled(neutralise(text), "dim") for text in (*state.notes, state.hint, here) if text]
    lines += _brief_steps(state, view) if brief else [_step(step, view) for step in state.steps]
    return Content("\n").join(lines)


def _brief_steps(state: JobState, view: JobView) -> list[Content]:
    passed = [s for s in state.steps if s.status in ("done", "skipped", "not_needed")]
    waiting = [s for s in state.steps if s.status == "todo"]
    lines = []
    if passed:
        lines.append(Content(f"✓ {len(passed)} of {len(state.steps)} steps done{_measured(view)}"))
    lines += [_step(step, view) for step in state.steps if step not in passed and step not in waiting]
    if waiting:
        lines.append(Content.styled(f"· {len(waiting)} to do, next {waiting[0].title}", "dim"))
    return lines


def _measured(view: JobView) -> str:
    values = " -> ".join(f"{value:.2f}" for value in view.perplexity.values())
    return f"  perplexity {values}" if values else ""


def _step(step: StepState, view: JobView) -> Content:
    text = f"{_SIGNS[step.status]} {step.title}"
    if step.started_at and step.status != "skipped":
        text += f"  {short_duration((step.ended_at or time.time()) - step.started_at)}"
    detail = step.reason
    if step.id in view.perplexity:
        detail = f"perplexity {view.perplexity[step.id]:.2f}"
    style = {"running": "$warning", "failed": "$error"}.get(step.status, "")
    return Content.assemble((text, style), (f"  {neutralise(detail)}" if detail else "", "dim"))


def describe_progress(view: Optional[JobView], width: int) -> Content:
    """A bar for the running step, with the time left where it can be told; empty where nothing runs."""
    step = view.state.current_step if view and view.state and view.runs else None
    if view is None or step is None or step.id not in view.progress:
        return Content("")
    done, total = view.progress[step.id]
    if total <= 0:
        return Content(f"{done} done")
    share = min(1.0, done / total)
    left = remaining_seconds(view.losses) if view.losses and step.id == "train" else None
    text = f" {100 * share:3.0f} %  {done} of {total}" + (f"  {short_duration(left)} left" if left is not None else "")
    cells = max(4, min(60, width - len(text)))
    full = int(cells * share)
    return Content.assemble(("█" * full, "$success"), ("░" * (cells - full), "dim"), text)


def finite_losses(view: Optional[JobView]) -> list[float]:
    """The losses that can be drawn."""
    return [loss for d in (view.losses if view else ()) if math.isfinite(loss := float(d["loss"]))]


def describe_loss(view: Optional[JobView]) -> Content:
    """First and last loss, and how fast it goes."""
    if view is None or not view.losses:
        return Content("")
    first, last = view.losses[0], view.losses[-1]
    text = f"loss {first['loss']:.3f} -> {last['loss']:.3f}  step {last['step']}/{last['steps']}"
    return Content.assemble(
        (text, "bold"),
        (f"  {last['per_step_ms']} ms/step", "dim"),
        *_warnings(view.losses[-1], len(view.losses) - len(finite_losses(view))),
    )


def _warnings(last: dict[str, object], not_finite: int) -> Iterable[tuple[str, str]]:
    if not_finite:
        yield f"  {not_finite} not finite", "$error"
    elif last.get("overflow"):
        yield "  overflow", "$warning"


def describe_host(session: Session) -> Content:
    """Load of the host, in one short line."""
    host = session.host
    if host is None:
        return Content.styled("host looking ...", "dim")
    used = host.memory_used / 1e9
    memory = f"{used:.{0 if used >= 10 else 1}f}/{host.memory_total / 1e9:.0f} GB"
    text = f"host cpu {host.cpu_percent:.0f} % load {host.load_1min:.1f}/{host.cores} mem {memory}"
    return Content.styled(f"{text} disk {short_size(host.disk_free)} free", "dim")


def short_log_line(line: str) -> str:
    """A log line made harmless, without the date and the place in MindFormers' source."""
    line = neutralise(line)
    match = _LOG_PREFIX.match(line)
    if match is None:
        return line
    level = "" if match["level"] == "INFO" else f"{match['level']} "
    return f"{match['time']} {level}{line[match.end() :]}"
