"""A training that was not started here, by the folder of its logs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sft_tui.metrics.external_run import ForeignRun
from sft_tui.metrics.points import MetricPoint
from sft_tui.tui.app import SftApp
from sft_tui.tui.screens import external_run as foreign
from tests.tui.conftest import LOSS_LINE, Driver


@pytest.fixture
def run(tmp_path):
    """Two workers of msrun; the log of the last one has the true loss."""
    folder = tmp_path / "theirs"
    (folder / "msrun_log").mkdir(parents=True)
    for rank in range(2):
        lines = [LOSS_LINE % (n, 12, 10 - n / 10 - rank, 10 - n / 10 - rank) for n in range(1, 9)]
        (folder / f"msrun_log/worker_{rank}.log").write_text("\n".join(lines) + "\n")
    (folder / "msrun_log/scheduler.log").write_text("fine\n")
    return folder


def add(run: Path, rank: int, text: str) -> None:
    with (run / f"msrun_log/worker_{rank}.log").open("a") as file:
        file.write(text + "\n")


def test_the_last_rank_is_followed_and_its_steps_are_points(run):
    theirs = ForeignRun(run)
    look = theirs.look()
    points = [row for row in look.rows if isinstance(row, MetricPoint) and row.rank is None]
    assert [point.step for point in points] == list(range(1, 9)) and points[0].loss == 8.9
    assert look.path.endswith("worker_1.log") and len(look.lines) == 8 and look.signs == ()
    add(run, 1, LOSS_LINE % (9, 12, float("nan"), float("nan")))
    look = theirs.look()
    assert [sign.kind for sign in look.signs] == ["loss_not_finite"]
    assert {log.name for log in theirs.logs()} == {f"msrun_log/{n}.log" for n in ("worker_0", "worker_1", "scheduler")}


def test_a_folder_without_logs_waits_for_them(tmp_path):
    theirs = ForeignRun(tmp_path)
    assert theirs.look().age is None
    (tmp_path / "train.log").write_text("begin\n")
    assert theirs.look().lines == ("begin",)


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
async def test_it_is_shown_with_its_curve_logs_and_first_cause(open_wizard, run, size):
    async with open_wizard(size=size) as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "ctrl+o follows a run" in wizard.words, "how to")
        await wizard.press("ctrl+o")
        await wizard.until(lambda: "The folder with the logs of a run" in wizard.text, "a folder is asked for")
        wizard.app.screen.dismiss(str(run))
        await wizard.until(lambda: "step 8/12" in wizard.text and "m loss" in wizard.text, "the newest step")
        assert "another's run" in wizard.text and "compare" not in wizard.text
        add(run, 1, LOSS_LINE % (10, 12, 7.5, 7.5))
        await wizard.until(lambda: "step 10/12" in wizard.text, "what came")
        await wizard.press("m")
        await wizard.until(lambda: "m loss" not in wizard.text, "another metric")
        await wizard.press("d")
        await wizard.until(lambda: "Nothing failed" in wizard.text, "a healthy run")
        add(run, 1, "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB")
        await wizard.press("d")
        await wizard.until(lambda: "First cause (sure)" in wizard.text, "the cause")
        cause = " ".join(wizard.text.split())
        assert "worker_1.log:10" in cause.replace(" ", "") and "rank 1" in cause
        await wizard.press("ctrl+l")
        await wizard.until(lambda: "worker_0.log" in wizard.text, "its logs")
        await wizard.press("escape")
        await wizard.until(lambda: "another's run" in wizard.text, "back")
        await wizard.press("escape")
        await wizard.until(lambda: "another's run" not in wizard.text, "the monitor")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
def test_the_look_of_a_run_of_somebody_else(snap_compare, home, profile, run, monkeypatch, size):
    profile()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(run.parent)
    os.utime(run / "msrun_log/worker_1.log", (1, 1))  # very long ago
    monkeypatch.setattr(foreign, "short_duration", lambda seconds: "2 h 7 min")
    app = SftApp("first")
    app.CURSOR_BLINK = False

    async def ready(pilot):
        wizard = Driver(app, pilot)
        await wizard.opened()
        app.push_screen(foreign.ForeignScreen(Path("theirs")))
        await wizard.until(lambda: "step 8/12" in wizard.text and "m loss" in wizard.text, "the newest step")
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=ready)
