"""Bytes for the terminal: names, values, logs and tables that hold escape sequences, seen on every screen and printed
by commands; none of them may get through.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sft_tui.core.profile import section_model
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.store.profile_store import new_profile_data, save_profile_data
from tests import terminal_payloads
from tests.benchmarks.attack.frame import Frame
from tests.benchmarks.attack.wizard_in_pty import KEYS, ROOT, WizardInPty

_PAYLOADS = list(terminal_payloads.PAYLOADS.values())
_WALK = [
    *(key for number in range(1, 10) for key in (f"f{number}", "tab", "tab")),
    "f2", "ctrl+o", "down", "escape", "f6", "shift+tab", "enter", "tab", "escape", "f8", "ctrl+d", "down", "escape",
    "f10", "escape", "f12", "escape",
]  # fmt: skip
COMMANDS = (
    ("profile", "show", "first"), ("profile", "show", "first", "--json"), ("profile", "validate", "first"),
    ("plan", "first"), ("plan", "first", "--json"), ("inspect", "{folder}"), ("inspect", "{folder}", "--json"),
    ("audit", "{folder}/data.json", "--model_file", "{folder}/no", "--seq_length", "64"), ("diagnose", "{folder}"),
    ("jobs", "show", "{name}"), ("{name}",),
)  # fmt: skip


def run(seconds: float, seed: int) -> list[tuple[str, int, int]]:
    """What was tried, how often, and how often it held; at least one round, whatever the time."""
    end = time.monotonic() + seconds
    rounds = screens = commands = command_held = json_tried = json_held = 0
    while rounds == 0 or time.monotonic() < end:
        dice = random.Random(seed + rounds)
        rounds += 1
        with WizardInPty() as wizard:
            folder = _prepare(wizard, dice)
            alive = wizard.start()
            for key in _WALK:
                alive = alive and wizard.press(KEYS[key]) and wizard.read(0.1)
            alive = alive and wizard.quit() == 0
            screens += alive and not terminal_payloads.found_in(wizard.seen)
            for command in COMMANDS:
                line = [part.replace("{folder}", str(folder)).replace("{name}", folder.name) for part in command]
                result = subprocess.run(
                    [sys.executable, "-m", "sft_tui", *line],
                    cwd=ROOT, env=wizard.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                )  # fmt: skip
                commands += 1
                command_held += not terminal_payloads.found_in(result.stdout + result.stderr)
                if "--json" in line:
                    json_tried += 1
                    json_held += _is_json(result.stdout)
    return [
        ("terminal: walks through all screens without such a byte", rounds, screens),
        ("terminal: commands whose output has no such byte", commands, command_held),
        ("terminal: --json that is still JSON", json_tried, json_held),
    ]


def _prepare(wizard: WizardInPty, dice: random.Random) -> Path:
    def text() -> str:
        return "".join(part for _ in range(4) for part in (dice.choice("abc中é"), dice.choice(_PAYLOADS)))

    folder = wizard.home / f"m{text()}".replace("/", "|")
    folder.mkdir()
    (folder / f"f{text()}".replace("/", "|")).write_text("x")
    (folder / "config.json").write_text(json.dumps({"model_type": text(), "architectures": [text()]}))
    (folder / "data.json").write_text(json.dumps([{"instruction": text(), text(): text()}]))
    (folder / "worker_0.log").write_text(f"RuntimeError: {text()}\n")
    data: dict[str, Any] = new_profile_data("first")
    for section in SECTIONS:
        for name in section_model(section).model_fields:
            if isinstance(data[section].get(name), str) and name != "python" and dice.random() < 0.7:
                data[section][name] = f"/x{text()}"
    data["model"]["hf_dir"] = str(folder)
    data["nodes"]["hosts"] = [{"host": text(), "user": text()}]
    save_profile_data(wizard.home / "sft" / "config" / "profiles", "first", data)
    return folder


def _is_json(output: bytes) -> bool:
    try:
        json.loads(output)
    except ValueError:
        return False
    return True


def attack(frame: Frame) -> None:
    """About three seconds for each round of the others, and one round of its own at least."""
    for what, tried, held in run(3.0 * frame.rounds, frame.seed):
        frame.count(what, tried, held)
