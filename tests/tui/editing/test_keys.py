"""A key lands where it was meant, at any speed of typing; and the marker shows where that is."""

import asyncio
import multiprocessing
import sys
import time

import pytest
from textual import events

from sft_tui.tui import ordered_keys
from sft_tui.tui.app import SftApp
from sft_tui.tui.screens.wizard.base import FirstFrame
from sft_tui.tui.session import WIZARD_STEPS
from sft_tui.tui.widgets.form_field import FormField
from tests.tui.conftest import Driver
from tests.tui.test_terminal import Terminal

F2, F4, F5, CTRL_Q = b"\x1bOQ", b"\x1bOS", b"\x1b[15~", b"\x11"
SECONDS_A_KEY = 0.005


def type_at_once(app, *keys):
    """All keys are there before the app has taken one of them."""
    for key in keys:
        event = events.Key(key, key if len(key) == 1 else None)
        event.set_sender(app)
        app.post_message(event)


def marked(wizard):
    """The fields whose label is drawn reversed."""
    fields = (field for field in wizard.app.screen.query(FormField) if field.display)
    return [field.dotted for field in fields if field.query_one(".form-label").styles.text_style.reverse]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step.id in ("model", "training") else pytest.mark.nightly, id=step.id)
        for step in WIZARD_STEPS
        if step.section
    ],
)
async def test_the_marker_is_at_the_field_that_has_the_focus_and_nowhere_else(open_wizard, profile, step):
    async with open_wizard(profile(), size=(100, 60)) as wizard:
        await wizard.press(step.key)
        await wizard.until(lambda: wizard.step == step.id, step.title)
        for key in ("tab", "tab", "shift+tab", "down"):
            await wizard.press(key)
            focused = [field.dotted for field in wizard.app.screen.query(FormField) if field.has_focus_within]
            assert marked(wizard) == focused


async def test_the_marker_of_a_dialog_with_fields(open_wizard, profile):
    async with open_wizard(profile(), size=(100, 60)) as wizard:
        await wizard.press("f6", "shift+tab", "a")
        await wizard.until(lambda: wizard.app.screen.query("#field-node-host"), "the dialog")
        for key, field in (("tab", "node.user"), ("tab", "node.port"), ("shift+tab", "node.user")):
            await wizard.press(key)
            assert marked(wizard) == [field]


async def test_keys_that_come_all_at_once_land_in_the_field_they_were_typed_for(open_wizard, profile, saved):
    async with open_wizard(profile()) as wizard:
        type_at_once(wizard.app, "f5", *["tab"] * 4, "7", "shift+tab", "2", "f6", "tab", "3", "4")
        await wizard.app.all_keys_taken()
        await wizard.press("ctrl+q")
    values = saved()
    assert (values["training"]["batch_size"], values["training"]["epochs"]) == (17, 12)
    assert values["nodes"]["master_port"] == 811834
    assert values["nodes"]["worker_num"] == 1


async def test_keys_for_a_dialog_wait_until_it_is_there(open_wizard, profile):
    profile("other")
    async with open_wizard(profile("first")) as wizard:
        type_at_once(wizard.app, "f10", "tab", "n", "e", "w", "enter")
        await wizard.app.all_keys_taken()
        assert wizard.app.session.name == "new"


async def test_of_function_keys_in_a_row_the_last_one_counts(open_wizard, profile, monkeypatch):
    async with open_wizard(profile()) as wizard:
        shown = []
        go = SftApp.action_go
        monkeypatch.setattr(SftApp, "action_go", lambda self, step: (shown.append(step), go(self, step)))
        type_at_once(wizard.app, "f2", "f4", "f5", "f9", "f3")
        await wizard.app.all_keys_taken()
        assert wizard.step == "weights"
        assert len(shown) <= 2, "the first one, if it was taken before the others had come, and the last one"


async def test_text_typed_before_the_first_screen_goes_into_no_other_field(profile, saved, monkeypatch):
    name = profile()
    app = SftApp(name)
    opened, held = app._open, []
    monkeypatch.setattr(app, "_open", lambda: held.append(opened))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, FirstFrame)
        type_at_once(app, "f5", "x", "f6", "tab", "9")
        await pilot.pause()
        held[0]()
        driver = Driver(app, pilot)
        await driver.opened()
        await app.all_keys_taken()
        assert driver.step == "nodes"
        await driver.press("ctrl+q")
    assert saved(name)["training"]["run_name"] == "run1x"
    assert saved(name)["nodes"]["master_port"] == 81189


def _burn():
    while True:
        pass


@pytest.fixture
def load():
    """Two busy processes beside the wizard."""
    busy = [multiprocessing.get_context("fork").Process(target=_burn, daemon=True) for _ in range(2)]
    for process in busy:
        process.start()
    yield
    for process in busy:
        process.kill()
        process.join()


@pytest.mark.parametrize("loaded", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["idle", "loaded"])
def test_typed_in_a_terminal_at_5_ms_a_key(home, profile, saved, request, loaded):
    profile()
    if loaded:
        request.getfixturevalue("load")
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm-256color")
    terminal.until(b"Working folder")
    for key in (F2, F4, F5, b"\t", b"\t", b"\t", b"\t", b"7", F2, F5, b"x", b"y", b"\x1b[B", b"z", CTRL_Q):
        terminal.press(key)
        time.sleep(SECONDS_A_KEY)
    assert terminal.wait() == 0
    training = saved()["training"]
    assert (training["batch_size"], training["run_name"]) == (17, "run1xy")
    assert training["base_yaml"].endswith("/z")


async def test_keys_behind_one_that_hangs_go_nowhere_and_that_is_said(open_wizard, profile, saved, monkeypatch):
    monkeypatch.setattr(ordered_keys, "PATIENCE", 0.3)
    async with open_wizard(profile()) as wizard:
        hangs = asyncio.Event()

        async def hang(self):
            await hangs.wait()

        monkeypatch.setattr(SftApp, "action_choose_profile", hang)
        type_at_once(wizard.app, "f10", "x", "y")
        await asyncio.sleep(0.6)
        hangs.set()
        await wizard.app.all_keys_taken()
        await wizard.until(lambda: "2 keys typed meanwhile went nowhere" in wizard.notes, "what became of them")
        await wizard.press("z", "ctrl+q")
    assert saved()["environment"]["python"].endswith("z"), "what is typed now is taken"
