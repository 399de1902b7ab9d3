"""Every step is reached by keys, and shows what it has."""

import builtins
import io
import os
import subprocess
import threading

import pytest
from textual.widgets import Select

from sft_tui.core.profile import section_model
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import new_profile_data, save_profile_data
from sft_tui.tui.app import SftApp
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.screens.wizard.registry import screen_class
from sft_tui.tui.session import WIZARD_STEPS
from tests.tui.conftest import Driver


async def test_function_keys_reach_every_step(open_wizard):
    async with open_wizard() as wizard:
        for step in reversed(WIZARD_STEPS):
            await wizard.press(step.key)
            await wizard.until(lambda step=step: wizard.step == step.id, f"{step.key} shows {step.id}")
            assert f">{step.key.upper()} {step.title}" in wizard.text


async def test_next_and_back_walk_the_steps_and_end_at_the_ends(open_wizard):
    async with open_wizard() as wizard:
        seen = [wizard.step]
        assert "ctrl+b" not in wizard.footer
        for _ in WIZARD_STEPS[1:]:
            await wizard.press("ctrl+n")
            seen.append(wizard.step)
        assert seen == [step.id for step in WIZARD_STEPS]
        assert "ctrl+n" not in wizard.footer
        for key in ("ctrl+n", "ctrl+b", "ctrl+p"):  # tmux keeps ctrl+b for itself
            await wizard.press(key)
        assert wizard.step == WIZARD_STEPS[-3].id


async def test_a_screen_shows_its_fields_with_label_and_help(open_wizard, sound):
    sound(training__method="lora")
    async with open_wizard(size=(120, 60)) as wizard:
        await wizard.looked()
        for section in SECTIONS:
            await wizard.press(next(step.key for step in WIZARD_STEPS if step.section == section))
            for name, info in section_model(section).model_fields.items():
                # for models that are loaded directly, for experts, for plain text
                if name in ("pack", "expert_parallel", "clean", "keep_all"):
                    assert not wizard.field(f"{section}.{name}").display
                    continue
                await wizard.until(lambda info=info: info.title in wizard.text, f"label of {info.title}")
                await wizard.until(lambda info=info: info.description in wizard.words, f"help of {info.title}")


async def test_fields_of_adapters_are_shown_once_adapters_are_chosen(open_wizard, sound):
    sound()
    async with open_wizard() as wizard:
        await wizard.press("f5")
        await wizard.until(lambda: wizard.field("training.run_name").display, "the form")
        assert not wizard.field("training.lora_rank").display
        wizard.field("training.method").query_one(Select).value = "lora"
        await wizard.until(lambda: wizard.field("training.lora_rank").display, "the rank")


async def test_the_first_focus_is_the_first_field_also_where_there_is_a_catalogue(open_wizard):
    async with open_wizard() as wizard:
        for key, first in (("f1", "environment.python"), ("f2", "model.hf_dir"), ("f5", "training.run_name")):
            await wizard.press(key)
            await wizard.until(lambda first=first: wizard.field(first).has_focus_within, f"{first} has the focus")


async def test_tab_and_arrows_walk_the_fields_and_stop_nowhere_unseen(open_wizard):
    async with open_wizard() as wizard:
        await wizard.press("f6")
        await wizard.until(lambda: wizard.field("nodes.worker_num").has_focus_within, "the first field")
        for key, field in (
            ("tab", "nodes.master_port"),
            ("down", "nodes.cluster_time_out"),
            ("up", "nodes.master_port"),
            ("shift+tab", "nodes.worker_num"),
        ):
            await wizard.press(key)
            assert wizard.field(field).has_focus_within, f"{key} leads to {field}"
        await wizard.press("shift+tab")
        assert wizard.app.screen.query_one("#nodes-table").has_focus, "what is last comes before what is first"
        await wizard.press("up")
        assert wizard.field("nodes.master_addr").has_focus_within, "above the first row is the field before the table"


async def test_the_footer_fits_80_columns_on_every_step(open_wizard):
    async with open_wizard() as wizard:
        for step in WIZARD_STEPS:
            await wizard.press(step.key)
            await wizard.until(lambda step=step: wizard.step == step.id, step.id)
            await wizard.pilot.pause()
            assert "^q Quit" in wizard.text.splitlines()[-1], step.id
            assert ("Run step" in wizard.text.splitlines()[-1]) == bool(step.plan_steps)


async def test_a_key_of_the_last_line_can_be_clicked(open_wizard):
    async with open_wizard() as wizard:
        column = wizard.text.splitlines()[-1].index("^n Next")
        await wizard.pilot.click("KeyLine", offset=(column, 0))
        await wizard.until(lambda: wizard.step == WIZARD_STEPS[1].id, "the next step")


async def test_browse_is_offered_only_where_a_path_is_wanted(open_wizard):
    async with open_wizard() as wizard:
        await wizard.press("f4")
        await wizard.until(lambda: wizard.footer.get("ctrl+o") == "Browse", "browse on a path")
        await wizard.press("tab", "tab")
        await wizard.until(lambda: "ctrl+o" not in wizard.footer, "no browse on a number")


async def test_page_down_scrolls_a_form_and_the_review(open_wizard, sound):
    sound()
    async with open_wizard() as wizard:
        await wizard.looked()
        for key in ("f5", "f7"):
            await wizard.press(key)
            await wizard.until(lambda: wizard.app.screen.query_one("#content").max_scroll_y > 0, "more than fits")
            content = wizard.app.screen.query_one("#content")
            await wizard.press("pagedown")
            await wizard.until(lambda content=content: content.scroll_offset.y > 0, f"{key} scrolls")
            await wizard.press("pageup")
            await wizard.until(lambda content=content: content.scroll_offset.y == 0, f"{key} scrolls back")
        await wizard.press("end")
        await wizard.until(lambda: content.scroll_offset.y == content.max_scroll_y, "the end of the review")
        await wizard.press("home")
        await wizard.until(lambda: content.scroll_offset.y == 0, "its beginning")


async def test_help_shows_every_key_and_closes(open_wizard):
    async with open_wizard() as wizard:
        await wizard.press("f12")
        await wizard.until(lambda: "ctrl+k" in wizard.text, "the keys")
        await wizard.press("end")
        await wizard.until(lambda: "at the next start" in wizard.text, "the last of them")
        assert "f10" not in wizard.footer  # nothing is chosen behind a dialog
        await wizard.press("escape")
        await wizard.until(lambda: wizard.app.screen is wizard.app.wizard_screen, "help is closed")


@pytest.mark.parametrize("size", [pytest.param((40, 12), marks=pytest.mark.nightly), (20, 6)])
async def test_a_small_terminal_breaks_nothing(open_wizard, sound, size):
    sound()
    async with open_wizard(size=size) as wizard:
        await wizard.looked()
        for step in WIZARD_STEPS:
            await wizard.press(step.key)
            await wizard.until(lambda step=step: wizard.step == step.id, step.id)
        await wizard.press("f12", "escape", "f10", "escape")
        assert wizard.app.return_code is None
        assert wizard.app.is_running


async def test_ctrl_c_says_how_to_quit(open_wizard, profile):
    profile()
    async with open_wizard() as wizard:
        await wizard.press("f9")  # in a field ctrl+c copies
        await wizard.until(lambda: wizard.step == "results", "the results")
        await wizard.press("ctrl+c")
        await wizard.until(lambda: "ctrl+q quits" in wizard.notes, "how to quit")


class _AskedError(Exception):
    """Something in a draw asked the system."""


def _forbid(module, name):
    """In the thread that draws; others look at files meanwhile, as they should."""
    real = getattr(module, name)

    def asked(*arguments, **named):
        if threading.current_thread() is threading.main_thread():
            raise _AskedError(f"{module.__name__}.{name}{arguments[:1]}")
        return real(*arguments, **named)

    return asked


@pytest.fixture
def watched(monkeypatch):
    """Every draw of a wizard screen is made without disk and processes; counts them, and what it asked."""
    told = {"draws": 0, "asked": []}

    def watch(cls):
        draw = cls.draw

        def drawn(self, session):
            told["draws"] += 1
            with pytest.MonkeyPatch.context() as patch:
                for module, name in (
                    (os, "stat"), (os, "lstat"), (os, "scandir"), (os, "listdir"), (os, "open"), (os, "access"),
                    (os, "statvfs"), (io, "open"), (builtins, "open"), (subprocess.Popen, "__init__"),
                ):  # fmt: skip
                    patch.setattr(module, name, _forbid(module, name))
                try:
                    draw(self, session)
                except _AskedError as asked:
                    told["asked"].append(f"{cls.__name__}: {asked}")

        monkeypatch.setattr(cls, "draw", drawn)

    for step in WIZARD_STEPS:
        cls = screen_class(step.id)
        if "draw" in vars(cls):
            watch(cls)
    watch(WizardScreen)
    watch(FormScreen)
    return told


async def test_no_draw_asks_the_disk_or_a_process(open_wizard, sound, watched):
    """All screens, with what was found for a real model and data."""
    async with open_wizard(sound()) as driver:
        await driver.looked()
        for step in WIZARD_STEPS:
            await driver.press(step.key)
            await driver.pilot.pause()
    assert watched["asked"] == []
    assert watched["draws"] > 2 * len(WIZARD_STEPS)


async def test_keys_before_the_profile_is_read_wait_for_it_and_lose_nothing(sound, saved, monkeypatch):
    """ctrl+q in the very first moment must not write the empty profile of the first frame."""
    name = sound()
    before = saved(name)
    app = SftApp(name)
    opened = app._open
    held = []
    monkeypatch.setattr(app, "_open", lambda: held.append(opened))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "F1 Environment" in Driver(app, pilot).text and held
        await pilot.press("f5", "ctrl+r")
        assert app.wizard_screen.step.id == "environment"
        held[0]()
        await Driver(app, pilot).until(lambda: app.wizard_screen.step.id == "training", "F5 is remembered")
    app = SftApp(name)
    monkeypatch.setattr(app, "_open", lambda: None)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("ctrl+q")
    assert saved(name) == before


async def test_a_profile_that_cannot_be_read_ends_the_wizard_with_its_error(home):
    path = save_profile_data(profiles_dir(), "torn", new_profile_data("torn"))
    path.write_text("= broken")
    app = SftApp("torn")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
    assert app.not_opened is not None and "is not TOML" in app.not_opened.message
    assert path.read_text() == "= broken" and not list(path.parent.glob("*.broken-*"))
