"""The wheel holds all that the program needs, and runs where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OPEN_WIZARD = """
import asyncio, sft_tui
from sft_tui.paths import styles_dir
from sft_tui.tui.app import SftApp

async def start():
    app = SftApp("first")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        rail = app.screen.query_one("#rail")
        # without the style sheet the rail would take the whole width
        print("rail", rail.size.width < 30, sft_tui.__file__, styles_dir())

asyncio.run(start())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the unpacked wheel, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed, arguments, home):
    environment = {**os.environ, "PYTHONPATH": str(installed), "SFT_TUI_HOME": str(home), "HOME": str(home)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_every_style_sheet_is_in_the_wheel(installed):
    in_wheel = {p.name for p in (installed / "sft_tui" / "styles").iterdir()}
    assert in_wheel == {p.name for p in (ROOT / "styles").iterdir()}


def test_the_layouts_of_templates_are_in_the_wheel(installed, tmp_path):
    code = "from sft_tui.dataset.template import layouts; print(layouts.__file__, len(layouts.list_templates()))"
    result = run(installed, ["-c", code], tmp_path)
    assert result.stdout.split() == [str(installed / "sft_tui/dataset/template/layouts.py"), "49"], result.stderr


def test_the_wheel_brings_the_licence_and_the_command(installed):
    (information,) = installed.glob("sft_tui-*.dist-info")
    assert "sft-tui = sft_tui.__main__:main" in (information / "entry_points.txt").read_text()
    assert list(information.rglob("LICENSE"))


def test_the_wizard_starts_from_the_wheel(installed, tmp_path):
    result = run(installed, ["-c", OPEN_WIZARD], tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"rail True {installed}/sft_tui/__init__.py {installed}/sft_tui/styles" in result.stdout


@pytest.mark.parametrize("start", [["-m", "sft_tui"], ["sft_tui-folder"]], ids=["module", "folder"])
def test_the_command_line_starts_from_the_wheel(installed, tmp_path, start):
    start = [str(installed / "sft_tui")] if start == ["sft_tui-folder"] else start
    result = run(installed, [*start, "--version"], tmp_path)
    assert (result.returncode, result.stdout.startswith("sft-tui ")) == (0, True), result.stderr
