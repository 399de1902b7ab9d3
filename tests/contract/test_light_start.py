"""Starting must stay light: no MindSpore, no numpy, and so on, before somebody asks for them."""

import json
import subprocess
import sys

import pytest

HEAVY = ["mindspore", "mindformers", "torch", "transformers", "fastchat", "sentencepiece", "numpy"]

START_WIZARD = """
import asyncio
from sft_tui.tui.app import SftApp

async def start():
    async with SftApp("first").run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)

asyncio.run(start())
"""


IMPORT_ALL = """
import importlib, pkgutil, sys, sft_tui
sys.modules["mindspore"] = sys.modules["mindformers"] = None
for module in pkgutil.walk_packages(sft_tui.__path__, "sft_tui."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        wanted = (error.name or "").partition(".")[0]
        if not module.name.startswith("sft_tui.launch.runtime.") or wanted not in ("mindspore", "mindformers"):
            raise
"""


def loaded_after(code, home):
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    environment = {"SFT_TUI_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("code", "too_heavy"),
    [
        ("import sft_tui.cli", [*HEAVY, "textual", "rich", "pydantic"]),
        ("import sft_tui.jobs.supervisor", [*HEAVY, "textual", "rich"]),
        ("import sft_tui.tui.app", [*HEAVY, "pydantic", "tomlkit", "plotext", "ruamel"]),
        (START_WIZARD, HEAVY),
    ],
    ids=["command-line", "supervisor", "import-wizard", "start-wizard"],
)
def test_start_is_light(code, too_heavy, tmp_path):
    loaded = loaded_after(code, tmp_path)
    assert [name for name in too_heavy if name in loaded] == []


def test_every_module_can_be_imported_here(tmp_path):
    """By each Python that the tests run on; what runs in a training may want MindSpore."""
    assert "sft_tui.tui.app" in loaded_after(IMPORT_ALL, tmp_path)
