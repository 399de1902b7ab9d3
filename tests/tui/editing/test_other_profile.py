"""What was wanted of one profile does not happen to another one."""

from __future__ import annotations

from pathlib import Path

from sft_tui.core.plan import Plan
from sft_tui.jobs.resume import ResumePoint
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import list_jobs
from sft_tui.tui import bridge


def _listened(app):
    """All that is said from now on; under Pilot no toasts are drawn."""
    said = []
    app.say = lambda text, **_more: said.append(text)
    return said


async def test_a_job_that_waits_for_the_check_is_not_that_of_the_next_profile(open_wizard, sound, profile, saved):
    sound("first")
    sections = saved("first")
    profile("second", **{name: value for name, value in sections.items() if isinstance(value, dict)})
    async with open_wizard("first") as wizard:
        await wizard.looked()
        app, said, submitted = wizard.app, _listened(wizard.app), []
        app._submit = lambda plan, _from_step: submitted.append(plan.profile)
        ask, app._examiner.ask = app._examiner.ask, lambda _profile: None  # a check that takes long
        app._examine_soon()
        await wizard.press("ctrl+r")
        assert app.waits_for_check
        app._examiner.ask = ask
        app._open_profile("second")
        await wizard.until(lambda: app.session.name == "second" and app.session.plan, "the other profile is checked")
        await wizard.pilot.pause()
        assert submitted == [] and not app.waits_for_check
        assert any("no job of first" in text for text in said)
        await wizard.press("ctrl+r")
        await wizard.until(lambda: submitted == ["second"], "asked for, it starts")


async def test_a_question_about_the_profile_before_is_not_asked_over_the_next_one(open_wizard, profile):
    profile("first")
    async with open_wizard("first") as wizard:
        app, said = wizard.app, _listened(wizard.app)
        app._submitting = True
        screens = len(app.screen_stack)
        point = ResumePoint(step_id="train", done=3, checkpoint="/w/c", saved_at=0.0, arguments=())
        app.post_message(bridge.ResumeOffered(Plan(profile="before", steps=()), "", point))
        await wizard.until(lambda: said, "what became of it")
        assert len(app.screen_stack) == screens and "before" in said[0] and not app._submitting
    assert list_jobs(jobs_dir()) == []


async def test_a_step_before_the_run_starts_although_the_run_folder_is_anothers(open_wizard, sound):
    sound(environment__device_target="CPU")
    async with open_wizard() as wizard:
        await wizard.looked()
        app, submitted = wizard.app, []
        for file in app.session.plan.files:
            Path(file.path).parent.mkdir(parents=True, exist_ok=True)
            Path(file.path).write_text(f"{file.text}epochs: 99\n")
        (Path(app.session.plan.run_folder) / "summary.json").write_text("{}")
        app._examine_soon()
        await wizard.until(lambda: app.session.early_plan is not None, "the folder of another run")
        said = _listened(app)
        app._submit = lambda plan, _from_step: submitted.append([step.id for step in plan.steps])
        assert app.session.plan is None and app.session.errors
        for key in ("f5", "ctrl+t", "f9", "ctrl+t", "ctrl+r"):
            await wizard.press(key)
        assert submitted == [] and any("stands in the way" in text for text in said)
        await wizard.press("f3", "ctrl+t", "f4", "ctrl+t")
        await wizard.until(lambda: len(submitted) == 2, "weights and data")
        assert "convert-weight" in submitted[0] and "preprocess-train" in submitted[1]
        assert not any("train" in steps for steps in submitted)
