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
