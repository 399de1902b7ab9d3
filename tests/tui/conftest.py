"""The real wizard in a home of its own, driven by keys; and small real jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time

import pytest

from sft_tui.core.plan import Output, Plan, Step
from sft_tui.errors import SftError
from sft_tui.jobs import client, process
from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.store.job_store import list_jobs
from sft_tui.store.profile_store import load_profile_data, new_profile_data, save_profile_data
from sft_tui.tui import background
from sft_tui.tui.app import SftApp
from sft_tui.tui.screens.wizard.base import FirstFrame

DEADLINE = 60.0
# a real line of MindFormers 1.6.0's MFLossMonitor, with its number and loss left open
LOSS_LINE = (
    "2026-11-24 03:26:48,490 - mindformers/data/runs/run_2/log[mindformers/core/callback/callback.py:494] - INFO - "
    "{ Epoch:[  1/  1], step:[%5d/%5d], loss:[%.3f/%.3f], per_step_time: 390ms, lr: 0.001, overflow cond: False, "
    "loss_scale: 65536.0, global_norm: [1.0933703], train_throughput_per_npu: 0.001T"
)


class Driver:
    """An app under Pilot: presses keys, reads the screen, waits for what should come."""

    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    @property
    def text(self):
        """All that is on the screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    @property
    def words(self):
        """The content without the rail, in one line: text that is wrapped reads on."""
        lines = (line.partition("│")[2] if "│" in line else line for line in self.text.splitlines())
        return " ".join(" ".join(lines).split())

    @property
    def dialog(self):
        """What stands in the box of a question, in one line, without what is seen beside it."""
        box = self.app.screen.query_one(".dialog-box").content_region
        lines = self.text.splitlines()[box.y : box.bottom]
        return " ".join(" ".join(line[box.x : box.right] for line in lines).split())

    @property
    def step(self):
        """The wizard step in view."""
        return self.app.wizard_screen.step.id

    @property
    def footer(self):
        """What the footer offers: descriptions by key."""
        return {
            active.binding.key: active.binding.description
            for active in self.app.screen.active_bindings.values()
            if active.binding.show and active.enabled
        }

    @property
    def notes(self):
        """All notifications in view."""
        return " ".join(str(note.message) for note in self.app._notifications)

    def mark(self, key):
        """The rail's mark of a step, by its key."""
        line = next(line for line in self.text.splitlines() if f"{key} " in line.partition("│")[0])
        return line.strip()[0]

    def field(self, dotted):
        """The widget of a profile field."""
        return self.app.screen.query_one(f"#field-{dotted.replace('.', '-')}")

    def under(self, dotted):
        """The line under a field: its help, or its problem."""
        return str(self.field(dotted).query_one(".form-help").render())

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.app.all_keys_taken()
        await self.pilot.pause()

    async def type(self, dotted, text):
        """Focus a field and type over what stands there."""
        self.field(dotted).query_one(".form-value").focus()
        await self.until(lambda: self.field(dotted).has_focus_within, f"{dotted} has the focus")
        # all but the last characters at once: a long path by keys takes seconds
        self.field(dotted).set_value(text[:-2])
        await self.press("end", *(_key(character) for character in text[-2:]))

    async def until(self, look, what):
        """Wait until that is true; a failure says what did not come, and shows the screen."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(LookupError, AttributeError):  # a screen that is being changed
                if look():
                    return
            await self.pilot.pause(0.03)
        pytest.fail(f"not within {DEADLINE} s: {what}\n{self.text}")

    async def opened(self):
        """Wait until the profile is read, and its first screen shown."""
        await self.until(lambda: self.app._opened and not isinstance(self.app.screen, FirstFrame), "the profile")
        await self.pilot.pause()

    async def looked(self):
        """Wait until the machine and the files were looked at."""
        session = self.app.session
        await self.until(lambda: session.findings and not session.examining and not session.edited, "findings")
        await self.pilot.pause()


def _key(character):
    return {"/": "slash", ".": "full_stop", "-": "minus", "_": "underscore", " ": "space"}.get(character, character)


@pytest.fixture
def open_wizard(home, monkeypatch):
    """Opens the wizard on a profile; `async with open_wizard("name") as wizard`."""

    monkeypatch.setattr(background, "EXAMINE_DELAY", 0.05)

    @contextlib.asynccontextmanager
    async def open_it(name="first", size=(80, 24)):
        app = SftApp(name)
        try:
            async with app.run_test(size=size) as pilot:
                driver = Driver(app, pilot)
                await driver.opened()
                yield driver
        finally:
            # as quitting does; what is left of it would be written into the home of the next test
            app._background.close()
            await asyncio.to_thread(app._saver.close)

    return open_it


@pytest.fixture
def profile(home):
    """Saves a profile of defaults with changes given as `section__field`."""

    def save(name="first", **changes):
        data = new_profile_data(name)
        for dotted, value in changes.items():
            section, _, field = dotted.partition("__")
            if field:
                data[section][field] = str(value) if isinstance(value, os.PathLike) else value
            else:
                data[section] = value
        save_profile_data(profiles_dir(), name, data)
        return name

    return save


@pytest.fixture
def saved(home):
    """What a profile's file holds."""
    return lambda name="first": load_profile_data(profiles_dir(), name)


@pytest.fixture
def sound(profile, make_llama, alpaca):
    """A profile in which nothing is wrong but what the caller changes."""

    def make(name="first", *flags, **changes):
        flags = flags or ("--hidden", "32", "--layers", "1", "--vocab", "1024")
        values = {"model__hf_dir": make_llama("llama", *flags), "dataset__train_path": alpaca()}
        with socket.create_server(("127.0.0.1", 0)) as free:  # a training on this machine may have the usual one
            values["nodes__master_port"] = free.getsockname()[1]
        return profile(name, **{**values, "dataset__seq_length": 256, **changes})

    return make


@pytest.fixture
def submit(home):
    """Submits a job of shell steps for a profile; whatever is left of it at the end is killed."""
    work = home / "work"
    work.mkdir()

    def make(*scripts, name="first", grace=1.0, devices=(), work=work.name):
        folder = home / work
        steps = tuple(
            Step(
                id=step_id,
                title=step_id.title(),
                argv=("sh", "-c", script),
                cwd=str(folder),
                outputs=(Output(path=str(folder / f"{step_id}.json"), kind="json"),),
                devices=devices,
            )
            for step_id, script in scripts
        )
        return client.submit(jobs_dir(), Plan(profile=name, steps=steps), stop_grace_seconds=grace)

    yield make
    for folder in list_jobs(jobs_dir()):
        with contextlib.suppress(SftError):
            state = folder.load_state()
            for step in state.steps:
                process.signal_process(step.process, signal.SIGKILL)
            process.signal_process(state.supervisor, signal.SIGKILL)


def loss_script(step_id, count, *, rest="", pause=0.0):
    """A shell script that writes loss lines as training does, and leaves its output."""
    lines = [f"echo '{LOSS_LINE % (n, count, 10 - n / 10, 10 - n / 10)}'; sleep {pause}" for n in range(1, count + 1)]
    return "\n".join([*lines, rest, f"echo '{{}}' > {step_id}.json"])


@pytest.fixture(name="loss_script")
def _loss_script():
    return loss_script
