"""Jobs in the wizard: watched live, found again, stopped, and looked at when they are over."""

import re

import pytest

from sft_tui.core.job import initial_state
from sft_tui.jobs import client
from sft_tui.jobs.resume import ResumePoint
from sft_tui.metrics.points import MetricPoint
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import list_jobs
from sft_tui.tui import bridge
from sft_tui.tui.bridge import JobUpdated


def _job_text(wizard):
    """The monitor but for the load of the host, and the notes that float over it."""
    wizard.app.clear_notifications()
    lines = wizard.text.splitlines()
    return [line.rstrip() for line in lines if "host cpu" not in line and "host looking" not in line]


async def _on_monitor(wizard):
    await wizard.until(lambda: wizard.step == "monitor", "the monitor")
    await wizard.until(lambda: wizard.app.session.job and wizard.app.session.job.state, "the job")


async def test_a_running_job_is_found_again_and_goes_on_when_the_app_quits(open_wizard, profile, submit, loss_script):
    profile()
    folder = submit(("train", loss_script("train", 3, rest="echo waiting; sleep 60")))
    async with open_wizard() as wizard:
        await _on_monitor(wizard)
        await wizard.until(lambda: "step 3/3" in wizard.text and "waiting" in wizard.text, "its loss and its log")
        assert wizard.mark("F8") == "~"
        assert "ctrl+r" not in wizard.footer and wizard.footer["ctrl+k"] == "Stop job"
        await wizard.press("ctrl+q")
        await wizard.until(lambda: not wizard.app.is_running, "the end of the app")
    assert not client.read_state(folder).finished


async def test_stopping_asks_first(open_wizard, profile, submit):
    profile()
    folder = submit(("train", "sleep 60"))
    async with open_wizard() as wizard:
        await _on_monitor(wizard)
        await wizard.press("ctrl+k")
        await wizard.until(lambda: "Stop the job?" in wizard.text, "the question")
        assert "another step starts over." in wizard.dialog, "all of it"
        await wizard.press("n")
        await wizard.until(lambda: "Stop the job?" not in wizard.text, "no")
        assert wizard.app.session.job_runs
        await wizard.press("ctrl+k", "y")
        await wizard.until(lambda: client.read_state(folder).outcome == "stopped", "the job has stopped")
        await wizard.until(lambda: "stopped" in wizard.words, "and the monitor says so")
        await wizard.until(lambda: "ctrl+k" not in wizard.footer and "ctrl+r" in wizard.footer, "the footer follows")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 50), marks=pytest.mark.nightly)])
async def test_a_finished_job_looks_as_it_did_when_watched(open_wizard, profile, submit, loss_script, size):
    profile()
    submit(("inspect", loss_script("inspect", 0, rest="echo found")), ("train", loss_script("train", 12, pause=0.2)))
    async with open_wizard(size=size) as wizard:
        await wizard.press("f8")  # on a slow machine the job may have ended before the wizard is there
        await _on_monitor(wizard)
        await wizard.until(lambda: "succeeded" in wizard.text and "step 12/12" in wizard.text, "its end")
        await wizard.looked()
        await wizard.until(lambda: "12/   12" in wizard.text, "the end of its log")
        watched = _job_text(wizard)
    async with open_wizard(size=size) as wizard:
        await wizard.looked()
        await wizard.press("f8")
        await _on_monitor(wizard)
        await wizard.until(lambda: "12/   12" in wizard.text, "the end of its log")
        await wizard.until(lambda: _job_text(wizard) == watched, "the same text")


async def test_a_failed_job_says_which_step_and_why(open_wizard, profile, submit):
    profile()
    folder = submit(("inspect", "echo {} > inspect.json"), ("train", "echo 'RuntimeError: no memory'; exit 1"))
    client.wait(folder)
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await _on_monitor(wizard)
        await wizard.until(lambda: "no memory" in wizard.words and "failed" in wizard.words, "why")
        assert "! Train" in wizard.words
        assert wizard.mark("F8") == "!"


async def test_a_failed_job_tells_its_first_cause_and_what_to_do(open_wizard, profile, submit):
    profile()
    line = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB"
    client.wait(submit(("train", f"echo '{line}'; exit 1")))
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "first cause: " in wizard.words, "the first cause")
        assert "train.log:1)" in wizard.words
        assert "batch" in wizard.words, "what to do"


async def test_escapes_in_a_log_do_not_reach_the_screen(open_wizard, profile, submit):
    profile()
    script = r"printf '\033]0;owned\007\033[2J[red]plain[/red] text\033[31m\nlast\n'; exit 1"
    client.wait(submit(("train", script)))
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "[red]plain[/red] text" in wizard.words, "the text of the log")
        strips = wizard.app.screen._compositor.render_strips()
        assert not any(ord(c) < 32 for strip in strips for segment in strip for c in segment.text)
        assert "owned" not in wizard.text


async def test_the_log_takes_the_room_that_is_there_and_follows(open_wizard, profile, submit):
    profile()
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; exit 1"
    client.wait(submit(("train", script)))
    for size, least in (((80, 24), 10), ((160, 50), 30)):
        async with open_wizard(size=size) as wizard:
            await wizard.press("f8")
            await wizard.until(lambda: "│ line 300" in wizard.text, "the end of the log")
            shown = [line for line in wizard.text.splitlines() if "line " in line]
            assert len(shown) >= least
            await wizard.press("pageup")
            await wizard.until(lambda: "│ line 300" not in wizard.text, "earlier lines")
            await wizard.press("end")
            await wizard.until(lambda: "│ line 300" in wizard.text, "the end again")


async def test_going_away_and_back_shows_the_whole_log(open_wizard, profile, submit, loss_script):
    profile()
    client.wait(submit(("train", loss_script("train", 4))))
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "4/    4" in wizard.text, "the log")
        await wizard.looked()
        before = _job_text(wizard)
        await wizard.press("f1", "f8")
        await wizard.until(lambda: _job_text(wizard) == before, "the same again")


async def test_progress_has_a_percentage_and_the_time_left(open_wizard, submit):
    folder = submit(("train", "sleep 60"))
    async with open_wizard(name="other") as wizard:
        wizard.app._follow(folder)
        await wizard.press("f8")
        await wizard.until(lambda: wizard.app.session.job.runs, "the job")
        await wizard.until(lambda: wizard.app.session.job.state.current_step, "its step")
        state = wizard.app.session.job.state
        rows = [MetricPoint(n, 200, 5.0 - n / 100, 2000) for n in range(1, 51)]
        rows.append(MetricPoint(51, 200, float("nan"), 2000))
        wizard.app.post_message(JobUpdated(folder, state, (), "train", "/a/log", ("a line",), tuple(rows)))
        await wizard.until(lambda: "51 of 200" in wizard.text, "the progress")
        assert " 26 %  51 of 200  4 min 58 s left" in wizard.text
        assert "1 not finite" in wizard.words
        await wizard.until(lambda: re.search(r"4\.99[┤+]", wizard.text), "the greatest loss")
        assert re.search(r"4\.5[┤+]", wizard.text)


async def test_a_damaged_job_does_not_keep_the_wizard_from_opening(open_wizard, profile, submit):
    profile()
    good = submit(("train", "exit 1"))
    client.wait(good)
    bad = submit(("train", "exit 1"))
    client.wait(bad)
    (bad.path / "state.json").write_text("{")
    async with open_wizard() as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: good.id in wizard.text, "the job before")


@pytest.mark.real
async def test_ctrl_r_starts_what_the_review_shows(open_wizard, sound, home):
    sound(environment__work_dir=str(home / "out"))
    async with open_wizard() as wizard:
        await wizard.looked()
        plan = wizard.app.session.plan
        await wizard.press("ctrl+r")
        await _on_monitor(wizard)
        job = wizard.app.session.job
        assert job.folder.load_spec().plan == plan
        await wizard.until(lambda: wizard.mark("F3") == "✓", "converted weights are marked in the rail")
        await wizard.press("ctrl+k", "y")
        await wizard.until(lambda: not wizard.app.session.job_runs, "the end")


def test_marks_say_done_only_where_outputs_are(submit):
    from sft_tui.tui.job_view import JobView
    from sft_tui.tui.session import Session, wizard_step

    folder = submit(("train", "exit 1"))
    session = Session("first", {})
    session.job = JobView(folder, initial_state(folder.load_spec()).model_copy(update={"lifecycle": "running"}))
    assert session.mark(wizard_step("training")) == "todo"
    assert session.mark(wizard_step("monitor")) == "running"
    client.wait(folder)


async def test_when_all_is_done_nothing_is_started_again(open_wizard, sound):
    sound()
    async with open_wizard() as wizard:
        await wizard.until(lambda: wizard.app.session.plan is not None, "a plan")
        done = frozenset(step.id for step in wizard.app.session.plan.steps)
        wizard.app.session.current_steps = done
        await wizard.press("f7")
        await wizard.until(lambda: "nothing remains to run" in wizard.words, "the review says so")
        said = []  # under Pilot no toasts are drawn
        wizard.app.say = lambda text, **_more: said.append(text)
        await wizard.press("ctrl+r")
        await wizard.until(lambda: said and "Nothing remains" in said[0], "the answer")
        assert list_jobs(jobs_dir()) == []


async def test_a_stop_counts_down_and_can_be_hurried(open_wizard, profile, submit):
    profile()
    script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    folder = submit(("train", script), grace=600.0)
    async with open_wizard() as wizard:
        await _on_monitor(wizard)
        await wizard.until(lambda: "up" in wizard.words, "the step has set its trap")
        await wizard.press("ctrl+k", "y")
        await wizard.until(lambda: "what still runs is killed in" in wizard.words, "the countdown")
        first = _countdown(wizard)
        await wizard.until(lambda: _countdown(wizard) < first, "it goes on")
        await wizard.press("ctrl+k")
        await wizard.until(lambda: "without waiting?" in wizard.text, "another question")
        await wizard.press("y")
        await wizard.until(lambda: client.read_state(folder).outcome == "stopped", "the job has stopped")
        await wizard.until(lambda: "no process of the step was left" in wizard.words, "the evidence")


def _countdown(wizard):
    return int(wizard.words.partition("is killed in ")[2].partition(" ")[0])


async def test_a_job_that_waits_says_for_what(open_wizard, profile, submit):
    profile()
    profile("other")
    first = submit(("train", "sleep 60"), name="other", devices=("cpu",), work="other")
    waiting = submit(("train", "echo {} > train.json"), devices=("cpu",))
    async with open_wizard() as wizard:
        await _on_monitor(wizard)
        await wizard.until(lambda: f"waits for job {first.id}, which uses the CPU" in wizard.words, "why")
        assert wizard.footer["ctrl+k"] == "Stop job"
        client.stop(first)
        await wizard.until(lambda: client.read_state(waiting).outcome == "succeeded", "its turn")
        await wizard.until(lambda: "succeeded" in wizard.words, "and the monitor says so")


@pytest.mark.parametrize(("key", "resumes"), [("r", True), ("b", False), ("escape", None)])
async def test_an_interrupted_training_is_offered_again(open_wizard, sound, monkeypatch, key, resumes):
    sound()
    submitted = []
    point = ResumePoint("train", 40, "/work/checkpoint/rank_0/sft.ckpt", 0.0, ("--resume_training", "True"))
    monkeypatch.setattr(client, "find_resume_point", lambda plan: point)
    monkeypatch.setattr(bridge, "submit", lambda plan, from_step: submitted.append(plan.step("train").resume))
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f7")
        await wizard.until(lambda: "it can go on from its checkpoint of step 40" in wizard.words, "the review says so")
        await wizard.press("ctrl+r")
        await wizard.until(lambda: "r resume there b begin again escape cancel" in wizard.words, "the question")
        assert "checkpoint is that of step 40." in wizard.dialog
        await wizard.press(key)
        await wizard.until(lambda: "resume there" not in wizard.text, "the answer")
        wanted = [] if resumes is None else [point.arguments if resumes else ()]
        await wizard.until(lambda: submitted == wanted, "what was chosen")
