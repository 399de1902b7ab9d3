"""The curve on Monitor: what is drawn, its keys, and terminals that show little."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from sft_tui.core.plan import Plan, Step
from sft_tui.jobs import client
from sft_tui.metrics.alerts import WatchOut
from sft_tui.metrics.points import METRICS, Curve, Mark, MetricPoint
from sft_tui.metrics.store import append_metrics
from sft_tui.paths import jobs_dir, terminal_is_utf8
from sft_tui.store.job_store import JobFolder, create_job
from sft_tui.tui.bridge import JobUpdated
from sft_tui.tui.job_view import JobView
from sft_tui.tui.text.job_text import describe_measures
from sft_tui.tui.text.plot_text import PlotChoice, draw_plot

LOSS, RATE = 0, 1


def curve(count=300, *, scale=1.0, spike=0):
    made = Curve()
    for n in range(1, count + 1):
        loss = scale * (0.5 + 9 * math.exp(-n / 60)) + (20.0 if n == spike else 0.0)
        made.add(MetricPoint(n, count, loss, 400, 1e-4 * n, at=float(n)))
    return made


def drawn(made, *, width=60, height=12, compared=None, braille=True, **choice):
    return draw_plot(made, PlotChoice(**choice), width, height, compared=compared, braille=braille)


def test_the_plot_fills_its_room():
    for width, height in ((24, 4), (56, 6), (160, 40)):
        lines = drawn(curve(), width=width, height=height).plain.splitlines()
        assert len(lines) == height
        assert max(map(len, lines)) == width


def test_a_spike_of_one_step_among_many_is_seen():
    text = drawn(curve(5000, spike=4000)).plain
    assert "20.5┤" in text


def test_a_terminal_without_utf8_gets_plain_letters():
    made = curve()
    made.add(Mark("checkpoint", 100))
    text = drawn(made, braille=False, compared=curve(scale=2.0)).plain
    assert text.isascii()
    assert {"*", "o", "^"} <= set(text)


def test_a_logarithm_leaves_out_what_is_not_above_zero():
    made = curve()
    made.add(MetricPoint(301, 301, -1.0, 400))
    text = drawn(made, logarithmic=True).plain
    assert "-" not in text.replace("e-", "")
    none = Curve()
    none.add(MetricPoint(1, 2, 0.0, 400))
    none.add(MetricPoint(2, 2, 0.0, 400))
    assert drawn(none, logarithmic=True).plain == "No values of loss above zero yet."


def test_zoom_shows_the_last_steps_of_both():
    text = drawn(curve(), last=50, compared=curve(scale=2.0)).plain
    assert re.search(r"251\b.*300", text.splitlines()[-1])


@pytest.mark.parametrize("metric", range(len(METRICS)))
def test_every_metric_is_drawn_or_says_that_it_has_no_values(metric):
    text = drawn(curve(), metric=metric).plain
    assert "┤" in text or text == f"No values of {METRICS[metric].title} yet."


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-300, 1e300])
def test_a_line_that_does_not_rise_or_fall(value):
    made = Curve()
    for n in (1, 2, 3):
        made.add(MetricPoint(n, 3, value, 400))
    assert "┤" in drawn(made).plain


@pytest.mark.parametrize("losses", [[], [2.0], [math.nan] * 5, [math.inf, 1.0, math.nan]])
def test_too_little_to_draw_is_said(losses):
    made = Curve()
    for n, loss in enumerate(losses, 1):
        made.add(MetricPoint(n, 9, loss, 400))
    assert drawn(made).plain == "No values of loss yet."


def test_ranks_that_differ_are_told_beside_the_one_whose_loss_counts():
    view = JobView(JobFolder(Path("/jobs/1-demo")))
    view.curve = curve(5)
    assert describe_measures(view).plain == "lr 0.0005"
    view.curve.add(MetricPoint(5, 5, 2.5, 800, rank=0))
    assert describe_measures(view).plain == "lr 0.0005  rank 0: loss 2.5, 800 ms"
    view.curve.add(MetricPoint(5, 5, math.nan, 900, rank=1))
    assert describe_measures(view).plain == "lr 0.0005  2 other ranks: loss 2.5 to 2.5, 800 to 900 ms"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ({"LANG": "zh_CN.GBK"}, False),
        ({}, False),
    ],
)
def test_what_the_locale_says_of_the_terminal(monkeypatch, variables, expected):
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal_is_utf8() is expected


@pytest.fixture
def other_job(home):
    """An older job that has measured a training."""
    step = Step(id="train", title="T", argv=("true",), cwd=str(home))
    folder, state = create_job(jobs_dir(), Plan(profile="older", steps=(step,)), stop_grace_seconds=1.0)
    folder.save_state(state.model_copy(update={"lifecycle": "finished", "outcome": "succeeded"}))
    append_metrics(folder.metrics, curve(scale=2.0).points)
    return folder


async def test_the_keys_of_the_plot(open_wizard, other_job, submit, loss_script, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    folder = submit(("train", loss_script("train", 60)), name="first")
    client.wait(folder)
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "m loss  l linear  z all  c compare" in wizard.text, "the plot")
        assert wizard.footer["p"] == "Plot" and "^q Quit" in wizard.text.splitlines()[-1]
        await wizard.press("l", "z", "z")
        await wizard.until(lambda: "l log  z last 50" in wizard.text, "logarithm and zoom")
        await wizard.press("m")
        await wizard.until(lambda: "m step time (ms)" in wizard.text or "m learning rate" in wizard.text, "a metric")
        await wizard.press("c")
        await wizard.until(lambda: "1-older" in wizard.dialog, "the other job is offered")
        assert folder.id not in wizard.dialog
        await wizard.press("enter")
        await wizard.until(lambda: "c with 1-older" in wizard.text, "it is drawn")
        await wizard.press("c")
        await wizard.until(lambda: "c compare" in wizard.text, "it is drawn no longer")
        await wizard.press("p")
        await wizard.until(lambda: "log of train" not in wizard.text and "┤" in wizard.text, "the plot alone")
        await wizard.press("p")
        await wizard.until(lambda: "log of train" in wizard.text and "┤" not in wizard.text, "the log alone")
        await wizard.press("f7", "f8")
        await wizard.until(lambda: "log of train" in wizard.text, "Monitor again")
        assert "┤" not in wizard.text, "it stays as it was chosen"


async def test_what_did_not_change_is_not_drawn_again(open_wizard, submit, monkeypatch):
    from sft_tui.tui.widgets import metric_plot

    drawings = []
    real = metric_plot.draw_plot
    monkeypatch.setattr(metric_plot, "draw_plot", lambda *a, **k: drawings.append(1) or real(*a, **k))
    folder = submit(("train", "sleep 60"))
    async with open_wizard(name="other") as wizard:
        wizard.app._follow(folder)
        await wizard.press("f8")
        await wizard.until(lambda: wizard.app.session.job.runs, "the job")
        state = wizard.app.session.job.state
        rows = tuple(curve(40).points)
        wizard.app.post_message(JobUpdated(folder, state, (), "train", "/a", (), rows))
        await wizard.until(lambda: drawings, "a drawing")
        await wizard.pilot.pause(0.2)
        drawings.clear()
        for line in ("one", "two"):
            wizard.app.post_message(JobUpdated(folder, state, (), "train", "/a", (line,)))
        await wizard.until(lambda: "two" in wizard.text, "the log goes on")
        assert drawings == []


async def test_the_worst_sign_is_one_line_with_what_to_look_at(open_wizard, submit):
    from sft_tui.core.job import Event

    folder = submit(("train", "sleep 60"))
    async with open_wizard(name="other", size=(160, 50)) as wizard:
        wizard.app._follow(folder)
        await wizard.press("f8")
        await wizard.until(lambda: wizard.app.session.job.runs, "the job")
        state = wizard.app.session.job.state

        def told(kind, *, over=False):
            sign = WatchOut(kind, 1000.0, f"sign {kind}\x1b[2J", "Look at it.", over)
            event = Event(kind="watch_out", time=1000.0, step="train", data=sign.as_data())
            wizard.app.post_message(JobUpdated(folder, state, (event,), "train", "/a", ()))

        told("slow")
        await wizard.until(lambda: "! Sign slow, since" in wizard.text, "the sign")
        told("loss_not_finite")
        await wizard.until(lambda: "! (+1 more) Sign loss_not_finite, since" in wizard.text, "the worse one")
        assert "Look at it." in wizard.words
        told("loss_not_finite", over=True)
        await wizard.until(lambda: "! Sign slow, since" in wizard.text, "one is over")
        told("slow", over=True)
        await wizard.until(lambda: "Sign" not in wizard.text, "both are over")
