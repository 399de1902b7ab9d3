"""A job in words and bars, for the monitor."""

from __future__ import annotations

import math
import re
import time
from typing import Optional

from textual.content import Content

from sft_tui.core.job import JobState, StepState
from sft_tui.core.terminal_text import neutralise, short_duration, short_size
from sft_tui.metrics.points import smooth
from sft_tui.metrics.time_left import RECENT_STEPS, remaining_seconds
from sft_tui.monitor.host import HostLoad
from sft_tui.tui.job_view import JobView

_SIGNS = {"todo": "·", "running": "~", "done": "✓", "skipped": "✓", "not_needed": "-", "failed": "!", "stopped": "!"}
_COLOURS = {"succeeded": "$success", "failed": "$error", "lost": "$error"}
# `date time,ms - path[file:line] - LEVEL - `: more than a narrow terminal has room for
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d),\d+ - \S{1,300} - (?P<level>[A-Z]+) - ")


def describe_job(view: Optional[JobView], *, brief: bool) -> Content:
    """Headline and steps; `brief`: steps that are done or still wait share a line each."""
    if view is None:
        return Content(
            "No job of this profile yet. Review & launch (F7) shows what would run; ctrl+r starts it. ctrl+o follows a "
            "run that was not started here, by the folder of its logs."
        )
    state = view.state
    if state is None:
        return Content(f"{view.folder.id}  looking ...")
    colour = _COLOURS.get(state.outcome or "", "$warning")
    lines = [Content.assemble((f"{state.id}  ", "bold"), (neutralise(state.headline()), colour))]
    if countdown := state.countdown(time.time()):
        lines.append(Content.styled(f"{countdown}  (ctrl+k: at once)", "$warning"))
    failed = state.current_step
    cause = view.first_cause.get(failed.id, "") if failed and failed.status == "failed" else ""
    here = "ctrl+r here does the same" if state.finished and f"sft-tui run {state.profile}" in state.hint else ""
    lines += [Content.styled(neutralise(text), "dim") for text in (cause, *state.notes, state.hint, here) if text]
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
    trains = view.curve.last is not None and view.curve.last.step_id == step.id
    left = remaining_seconds(view.curve.newest(RECENT_STEPS)) if trains else None
    text = f" {100 * share:3.0f} %  {done} of {total}" + (f"  {short_duration(left)} left" if left is not None else "")
    cells = max(4, min(60, width - len(text)))
    full = int(cells * share)
    return Content.assemble(("█" * full, "$success"), ("░" * (cells - full), "dim"), text)


def describe_loss(view: Optional[JobView]) -> Content:
    """First, last and smoothed loss, and how fast it goes."""
    if view is None or view.curve.first is None or view.curve.last is None:
        return Content("")
    first, last = view.curve.first, view.curve.last
    *_, smoothed = smooth(point.loss for point in view.curve.newest(RECENT_STEPS))
    text = f"loss {first.loss:.3f} -> {last.loss:.3f} (~{smoothed:.3f})  step {last.step}/{last.steps}"
    lost = view.curve.not_finite
    return Content.assemble(
        (text, "bold"),
        (f"  {last.per_step_ms} ms/step", "dim"),
        (f"  {lost} not finite" if lost else "", "$error"),
        ("  overflow" if last.overflow and not lost else "", "$warning"),
    )


def describe_measures(view: Optional[JobView]) -> Content:
    """What else the last step told; of other ranks, what differs."""
    last = view.curve.last if view else None
    if view is None or last is None:
        return Content("")
    values = (
        ("lr", last.learning_rate, ".3g"), ("tokens/s", last.tokens_per_s, ",.0f"),
        ("grad norm", last.global_norm, ".3g"), ("loss scale", last.loss_scale, ".0f"),
    )  # fmt: skip
    parts = [f"{name} {value:{form}}" for name, value, form in values if value is not None]
    return Content.styled("  ".join([*parts, *_ranks(view)]), "dim")


def _ranks(view: JobView) -> list[str]:
    """The ranks that differ from the one whose loss counts, by their newest points that were kept."""
    ranks = [point for _, point in sorted(view.curve.ranks.items())]
    if len(ranks) < 2:
        return [f"rank {p.rank}: loss {p.loss:.3g}, {p.per_step_ms} ms" for p in ranks]
    losses = [point.loss for point in ranks if math.isfinite(point.loss)]
    times = [point.per_step_ms for point in ranks]
    spread = f"loss {min(losses):.3g} to {max(losses):.3g}, " if losses else ""
    return [f"{len(ranks)} other ranks: {spread}{min(times)} to {max(times)} ms"]


def describe_watch_outs(view: Optional[JobView]) -> Content:
    """The worst sign, since when, and how many more there are."""
    signs = view.watch_outs if view else []
    if not signs:
        return Content("")
    more = f"! (+{len(signs) - 1} more) " if len(signs) > 1 else "! "
    since = time.strftime("%H:%M:%S", time.localtime(signs[0].since))
    return Content.styled(more + neutralise(signs[0].sentence(since)), "bold $error")


def describe_host(host: Optional[HostLoad]) -> Content:
    """Load of the host, in one short line."""
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
