"""No edit is lost: not to a stray key, and not to somebody else who edits the same profile."""

import json
import os
import threading

import pytest
from textual.widgets import Checkbox, Select

from sft_tui.errors import InvalidInputError
from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.results.summary import RunSummary
from sft_tui.store.job_store import list_jobs
from sft_tui.store.profile_changes import load_filled, set_fields
from sft_tui.store.profile_store import list_profiles, profile_path
from sft_tui.tui import bridge, editing, profile_saver
from sft_tui.tui.opening import load_session
from sft_tui.tui.profile_saver import ProfileSaver
from tests.tui.editing.test_keys import type_at_once


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(editing, "LOOK_SECONDS", 0.05)


async def test_a_stray_key_is_added_and_ctrl_z_takes_it_back(open_wizard, profile, saved):
    profile(training__run_name="mine")
    async with open_wizard() as wizard:
        await wizard.press("f5", "q", "j")
        assert wizard.field("training.run_name").value == "mineqj", "nothing was selected"
        await wizard.press("tab", "tab", "tab", "5", "ctrl+z")
        assert wizard.field("training.epochs").value == "1"
        await wizard.press("f2", "ctrl+z")
        await wizard.until(lambda: "is mine again; it was mineqj" in wizard.notes, "what was taken back")
        await wizard.press("f5")
        assert wizard.field("training.run_name").value == "mine"
        await wizard.press("ctrl+z")
        await wizard.until(lambda: "no edit to take back" in wizard.notes, "the end")
        await wizard.press("ctrl+q")
    assert (saved()["training"]["run_name"], saved()["training"]["epochs"]) == ("mine", 1)


async def test_choices_and_ticks_are_taken_back_too(open_wizard, profile, saved):
    profile()
    async with open_wizard() as wizard:
        await wizard.press("f5")
        wizard.field("training.method").query_one(Select).value = "lora"
        await wizard.until(lambda: wizard.app.session.data["training"]["method"] == "lora", "the choice")
        await wizard.press("ctrl+z")
        assert wizard.field("training.method").query_one(Select).value == "full"
        await wizard.press("f3")
        tick = wizard.field("weights.verify").query_one(Checkbox)
        before = tick.value
        tick.focus()
        await wizard.press("space")
        assert tick.value is not before
        await wizard.press("ctrl+z")
        assert tick.value is before
        await wizard.press("ctrl+q")
    assert saved()["training"]["method"] == "full" and saved()["weights"]["verify"] is before


async def test_what_an_editor_changes_is_taken_over_and_said(open_wizard, profile, saved):
    path = profile_path(profiles_dir(), profile())
    async with open_wizard() as wizard:
        await wizard.press("f5", "x")
        await wizard.until(lambda: saved()["training"]["run_name"] == "run1x", "my edit")
        path.write_text(path.read_text().replace("epochs = 1", "epochs = 3"))
        await wizard.until(lambda: wizard.field("training.epochs").value == "3", "the editor's")
        assert "3 (was 1)" in wizard.notes
        await wizard.press("y", "ctrl+q")
    assert (saved()["training"]["run_name"], saved()["training"]["epochs"]) == ("run1xy", 3)


async def test_keys_removed_and_added_elsewhere_leave_a_sound_profile(open_wizard, sound):
    path = profile_path(profiles_dir(), sound(training__typo=1, notes={"a": 1, "b": 2}))
    async with open_wizard() as wizard:
        await wizard.looked()
        data = wizard.app.session.data
        assert wizard.app.session.errors, "keys that no profile has"
        path.write_text(path.read_text().replace("a = 1\n", "c = 3\n"))
        await wizard.until(lambda: data["notes"] == {"b": 2, "c": 3}, "the table, not one value in its place")
        path.write_text(path.read_text().replace("typo = 1\n", "").partition("[notes]")[0])
        await wizard.until(lambda: "notes" not in data and "typo" not in data["training"], "they are gone")
        await wizard.until(lambda: wizard.app.session.plan is not None, "and nothing stands in the way")
        await wizard.press("ctrl+q")


def test_what_another_writes_right_after_us_is_seen(profile, monkeypatch):
    path = profile_path(profiles_dir(), profile())
    said = []
    saver = ProfileSaver(said.append)
    saver.opened("first", load_session("first").data, on_disk=True)
    unlocked = profile_saver.save_changes

    def overtaken(*arguments):
        saved = unlocked(*arguments)
        path.write_text(path.read_text().replace("epochs = 1", "epochs = 3"))
        return saved

    monkeypatch.setattr(profile_saver, "save_changes", overtaken)
    saver.save("first", ("training", "run_name", "mine"))
    saver.look("first")
    saver.close()
    [merged] = said
    assert [(change.field, change.theirs) for change in merged.taken] == [("training.epochs", 3)]


def test_what_another_writes_while_a_profile_is_opened_is_seen(profile):
    path = profile_path(profiles_dir(), profile())
    said = []
    saver = ProfileSaver(said.append)
    opened = load_session("first")
    path.write_text(path.read_text().replace("epochs = 1", "epochs = 3"))
    saver.opened("first", opened.data, on_disk=True)
    saver.look("first")
    saver.look("first")
    saver.close()
    [merged] = said
    assert [(change.field, change.theirs) for change in merged.taken] == [("training.epochs", 3)]


def test_a_disk_that_is_away_for_a_moment_is_told_once_and_looked_at_again(profile, monkeypatch):
    path = profile_path(profiles_dir(), profile())
    said = []
    saver = ProfileSaver(said.append)
    saver.opened("first", load_session("first").data, on_disk=True)
    saver._thread.submit(monkeypatch.setattr, profile_saver, "load_filled", _away)
    saver.look("first")
    saver.look("first")
    saver._thread.submit(monkeypatch.setattr, profile_saver, "load_filled", load_filled)
    saver._thread.submit(lambda: path.write_text(path.read_text().replace("epochs = 1", "epochs = 3")))
    saver.look("first")
    saver.close()
    assert [type(message) for message in said] == [bridge.BackgroundFailed, bridge.ProfileMerged]
    assert "replaces" not in said[0].message


def _away(*_arguments):
    raise InvalidInputError("first.toml cannot be read: Stale file handle.")


async def test_the_same_field_in_both_is_mine_and_said_with_both_values(open_wizard, profile, saved, monkeypatch):
    monkeypatch.setattr(editing, "LOOK_SECONDS", 60)
    profile()
    async with open_wizard() as wizard:
        await wizard.press("f5")
        await wizard.until(lambda: wizard.field("training.run_name").has_focus_within, "the form")
        set_fields(profiles_dir(), "first", {"training": {"run_name": "theirs", "epochs": 4}})
        await wizard.press("x")
        await wizard.until(lambda: "run1x stays; elsewhere it is theirs" in wizard.notes, "both values")
        await wizard.until(lambda: wizard.field("training.epochs").value == "4", "the other field")
        await wizard.press("ctrl+q")
    assert (saved()["training"]["run_name"], saved()["training"]["epochs"]) == ("run1x", 4)


async def test_a_profile_deleted_elsewhere_stays_away_until_it_is_saved_anew(open_wizard, profile, saved):
    profile()
    async with open_wizard() as wizard:
        await wizard.press("f5", "x")
        await wizard.until(lambda: saved()["training"]["run_name"] == "run1x", "my edit")
        profile_path(profiles_dir(), "first").unlink()
        await wizard.until(lambda: "was deleted elsewhere" in wizard.notes, "it is said")
        await wizard.press("y")
        await wizard.pilot.pause(0.2)
        assert list_profiles(profiles_dir()) == []
        await wizard.until(lambda: wizard.footer.get("ctrl+s") == "Save anew", "the offer")
        await wizard.press("ctrl+s")
        await wizard.until(lambda: list_profiles(profiles_dir()) == ["first"], "the profile")
        await wizard.press("ctrl+q")
    assert saved()["training"]["run_name"] == "run1xy"


async def test_quitting_does_not_bring_a_deleted_profile_back(open_wizard, profile):
    profile()
    async with open_wizard() as wizard:
        profile_path(profiles_dir(), "first").unlink()
        await wizard.press("ctrl+q")
    assert list_profiles(profiles_dir()) == []


async def test_a_file_that_is_broken_meanwhile_is_kept_beside(open_wizard, profile, saved):
    path = profile_path(profiles_dir(), profile())
    async with open_wizard() as wizard:
        await wizard.press("f5")
        path.write_text("epochs = = 3")
        await wizard.until(lambda: "is not TOML" in wizard.notes, "the slip")
        await wizard.press("x")
        await wizard.until(lambda: "first.broken-1.toml" in wizard.notes, "where it is kept")
        await wizard.press("ctrl+q")
    assert path.with_name("first.broken-1.toml").read_text() == "epochs = = 3"
    assert saved()["training"]["run_name"] == "run1x"


@pytest.fixture
def held_check(monkeypatch):
    """Checking files does not end before it is let go; counts what was submitted."""
    gate = threading.Event()
    look, submit = bridge.look_at, bridge.submit_or_offer
    submitted = []

    def slow(profile):
        gate.wait(30)
        return look(profile)

    def count(plan, from_step):
        submitted.append(plan)
        return submit(plan, from_step)

    monkeypatch.setattr("sft_tui.tui.background.look_at", slow)
    monkeypatch.setattr(bridge, "submit_or_offer", count)
    gate.submitted = submitted
    yield gate
    gate.set()


async def test_ctrl_r_while_files_are_checked_starts_one_job_once_they_are(open_wizard, sound, held_check, submit):
    async with open_wizard(sound()) as wizard:
        type_at_once(wizard.app, "ctrl+r", "ctrl+r", "ctrl+r")
        await wizard.until(lambda: "the job starts when that is done" in wizard.notes, "it waits")
        assert list_jobs(jobs_dir()) == []
        held_check.set()
        await wizard.until(lambda: wizard.step == "monitor", "the job has started")
        await wizard.press("ctrl+r")
        assert len(held_check.submitted) == 1 == len(list_jobs(jobs_dir()))


async def test_escape_takes_the_wish_for_a_job_back(open_wizard, sound, held_check):
    async with open_wizard(sound()) as wizard:
        await wizard.press("f7", "ctrl+r")
        await wizard.until(lambda: wizard.footer.get("escape") == "Cancel", "the offer")
        await wizard.press("escape")
        held_check.set()
        await wizard.looked()
        assert "no job starts" in wizard.notes
        assert held_check.submitted == [] and "escape" not in wizard.footer


async def test_a_job_that_waited_does_not_start_from_what_cannot_run(open_wizard, sound, held_check):
    async with open_wizard(sound(model__hf_dir="/no/such/model")) as wizard:
        await wizard.press("f7", "ctrl+r")
        held_check.set()
        await wizard.looked()
        await wizard.until(lambda: "in the way" in wizard.notes, "why it does not start")
        assert held_check.submitted == [] and not wizard.app.waits_for_check


async def test_results_show_the_newest_finished_run_also_when_the_name_has_changed(open_wizard, sound, home):
    work = home / "work"
    for at, run in enumerate(("run1", "run2"), 1000):
        checkpoint = work / "runs" / run / "checkpoint_network" / "rank_0" / "m-1_2.ckpt"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"x")
        summary = RunSummary(str(work / "runs" / run), str(checkpoint), 2, 9.0 + at % 2, 2.0, None, None)
        path = work / "runs" / run / "summary.json"
        path.write_text(json.dumps(summary.to_json()))
        os.utime(path, (at, at))
    async with open_wizard(sound(environment__work_dir=work, training__run_name="run3"), size=(120, 40)) as wizard:
        await wizard.press("f9")
        await wizard.until(lambda: "run run2: the newest finished run of 2" in wizard.words, "the newest")
        assert "Run run3 has no results yet" in wizard.words and "Other finished runs: run1" in wizard.words
        assert "10.000 at the first step" in wizard.words
        assert "convert-weight --reversed" not in wizard.words, "this profile may have another model by now"
        await wizard.press("right")
        await wizard.until(lambda: "run run1: finished run 2 of 2" in wizard.words, "the other one")
        assert "9.000 at the first step" in wizard.words
        await wizard.press("right", "left")
        await wizard.until(lambda: "run run2" in wizard.words, "back again")
