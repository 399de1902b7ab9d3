"""Nothing that a profile, a name, a log or a tool holds acts on the terminal, on whichever screen."""

import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from sft_tui.core.profile import section_model
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import new_profile_data, save_profile_data
from sft_tui.tui.gate import Gate
from sft_tui.tui.session import WIZARD_STEPS
from tests import terminal_payloads
from tests.tui import test_terminal
from tests.tui.test_terminal import Terminal

TABLE = Path(__file__).parents[2] / "data" / "npu_smi" / "info_25.2.0_A3_4dies_procs.txt"
KEYS = {
    "f1": b"\x1bOP", "f2": b"\x1bOQ", "f3": b"\x1bOR", "f4": b"\x1bOS", "f5": b"\x1b[15~", "f6": b"\x1b[17~",
    "f7": b"\x1b[18~", "f8": b"\x1b[19~", "f9": b"\x1b[20~", "f10": b"\x1b[21~", "f12": b"\x1b[24~",
    "escape": b"\x1b", "tab": b"\t", "shift+tab": b"\x1b[Z", "enter": b"\r", "ctrl+o": b"\x0f", "ctrl+l": b"\x0c",
    "ctrl+d": b"\x04", "ctrl+q": b"\x11", "ctrl+r": b"\x12", "ctrl+g": b"\x07", "down": b"\x1b[B",
}  # fmt: skip


@pytest.mark.parametrize("payload", terminal_payloads.PAYLOADS.values(), ids=terminal_payloads.PAYLOADS)
def test_the_gate_keeps_the_width_and_lets_nothing_through(payload):
    before = [Segment(f"中{payload}é", Style(link="http://stolen.example/", bold=True))]
    after = Gate().apply(before, Color(0, 0, 0))
    text = "".join(segment.text for segment in after)
    assert not terminal_payloads.found_in(text.encode()) and "\x1b" not in text
    assert sum(segment.cell_length for segment in after) == sum(segment.cell_length for segment in before)
    assert all(segment.style.link is None and segment.style.bold for segment in after)


def _full_of_payloads(folder):
    """A profile whose every text is one, and that asks for a folder and a file of such a name."""
    data = new_profile_data("first")
    for section in SECTIONS:
        for name in section_model(section).model_fields:
            if isinstance(data[section].get(name), str) and name != "python":
                data[section][name] = f"/x{terminal_payloads.ALL}"
    data["model"]["hf_dir"] = str(folder)
    data["nodes"]["hosts"] = [{"host": f"h{terminal_payloads.ALL}", "user": terminal_payloads.ALL}]
    return data


@pytest.fixture
def hostile(home, tmp_path, monkeypatch, submit):
    """Folders, files, a profile, an npu-smi and a job's log that all hold payloads."""
    folder = tmp_path / f"model{terminal_payloads.FILE_NAME}"
    folder.mkdir()
    (folder / f"file{terminal_payloads.FILE_NAME}").write_text("x")
    (folder / f"sub{terminal_payloads.FILE_NAME}").mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": terminal_payloads.ALL}))
    tools = tmp_path / "bin"
    tools.mkdir()
    table = TABLE.read_text().replace("python", f"py{terminal_payloads.ALL}")
    (tools / "table").write_text(table + terminal_payloads.ALL)
    (tools / "npu-smi").write_text(f"#!/bin/sh\ncat {tools}/table\n")
    (tools / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    save_profile_data(profiles_dir(), "first", _full_of_payloads(folder))
    return submit(("train", f"printf '%s\\n' a {shlex.quote(terminal_payloads.ALL)} b; exit 3"))


def test_no_screen_sends_it_to_the_terminal(hostile, monkeypatch):
    monkeypatch.setattr(test_terminal, "DEADLINE", 120.0)  # a machine under load works the keys off one by one
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm-256color")
    terminal.until(b"Working folder")
    walk = [key for step in WIZARD_STEPS for key in (step.key, "tab", "tab")]
    walk += ["f2", "ctrl+o", "down", "down", "escape", "f6", "shift+tab", "enter", "tab", "escape", "f7", "ctrl+r"]
    walk += ["f8", "ctrl+d", "down", "escape", "ctrl+l", "down", "escape", "f10", "escape", "f12", "escape"]
    for key in walk:
        terminal.press(KEYS[key])
        quiet = time.monotonic() + 0.15
        while time.monotonic() < quiet:
            terminal._read()
    terminal.press(KEYS["ctrl+q"])
    assert terminal.wait() == 0
    assert b"stolen" in terminal.seen, "what is harmless in it is shown as it is"
    assert b"first cause" in terminal.seen.lower() or b"failed" in terminal.seen.lower(), "the job was looked at"
    assert terminal_payloads.found_in(terminal.seen) == []


def test_a_record_and_its_fields_do_not_either(home, sound, tmp_path, monkeypatch):
    """The dialog that shows a record as the model sees it, and what is said of fields that are not read."""
    monkeypatch.setattr(test_terminal, "DEADLINE", 60.0)
    data = tmp_path / "data.json"
    text = f"shown {terminal_payloads.ALL}"
    record = {"instruction": text, "output": text, f"unread{terminal_payloads.ALL}": text}
    data.write_text(json.dumps([record] * 30))
    sound(dataset__train_path=data, dataset__seq_length=512, environment__python="")
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm-256color")
    terminal.until(b"Working folder")
    terminal.press(KEYS["f7"])
    terminal.until(b"`unread")
    terminal.press(KEYS["f4"])
    terminal.press(KEYS["ctrl+g"])
    terminal.until(b"learned")
    for key in ("down", "escape", "f7", "ctrl+q"):
        terminal.press(KEYS[key])
    assert terminal.wait() == 0
    assert b"stolen" in terminal.seen
    assert terminal_payloads.found_in(terminal.seen) == []


def test_what_nodes_answer_does_not_either(home, sound, tmp_path, monkeypatch):
    """A node whose ssh says such bytes, on both of its outputs."""
    monkeypatch.setattr(test_terminal, "DEADLINE", 60.0)
    tools = tmp_path / "bin"
    tools.mkdir()
    said = shlex.quote(f"stolen {terminal_payloads.ALL}")
    (tools / "ssh").write_text(f"#!/bin/sh\nprintf '%s\\n' {said}; printf '%s\\n' {said} >&2; exit 255\n")
    (tools / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    sound(nodes__hosts=[{"host": "10.0.0.1"}, {"host": "10.0.0.2"}])
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm-256color")
    terminal.until(b"Working folder")
    terminal.press(KEYS["f7"])
    terminal.until(b"Inspect the model folder")  # the plan is there
    terminal.press(KEYS["f6"])
    terminal.press(KEYS["ctrl+g"])
    terminal.until(b"stolen")
    for key in ("down", "enter", "escape", "escape", "ctrl+q"):
        terminal.press(KEYS[key])
    assert terminal.wait() == 0
    assert terminal_payloads.found_in(terminal.seen) == []
