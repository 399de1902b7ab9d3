"""What was wanted of one profile does not happen to another one."""

from __future__ import annotations

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
