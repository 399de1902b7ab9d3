"""What all tests share: a home of their own, small models, and the command line as a process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from sft_tui.cli import run_command

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
FIGURES = "figures"


# started by nohup, or in the background of a script, a process ignores these; so would all that the tests start
for _number, _usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
NIGHTLY = "nightly"
# how quick a machine is is no property of the code
_ANY_MACHINE = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("ci", max_examples=40, **_ANY_MACHINE)
hypothesis.settings.register_profile(NIGHTLY, max_examples=1500, **_ANY_MACHINE)


def is_nightly(config):
    """Whether `-m` asks for what runs at night: those tests, and properties with many examples."""
    return NIGHTLY in re.sub(r"\bnot\s+nightly\b", "", config.option.markexpr)


def pytest_configure(config):
    hypothesis.settings.load_profile(NIGHTLY if is_nightly(config) else "ci")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """With `-n 2` real processes go one after the other, and beside them the trainings and then all else.

    Trainings go one after the other too: those of one worker go on from one rehearsal.

    What is marked `nightly` runs where `-m` names it; then the properties run too, with many examples.
    """
    nightly = is_nightly(config)
    for item in items:
        if nightly and hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(NIGHTLY)
        folders = item.path.relative_to(ROOT / "tests").parts
        if folders[0] == "process":
            item.add_marker(pytest.mark.xdist_group("trainings" if folders[1] == "training" else "process"))
    if not nightly:
        left = [item for item in items if item.get_closest_marker(NIGHTLY)]
        items[:] = [item for item in items if not item.get_closest_marker(NIGHTLY)]
        config.hook.pytest_deselected(items=left)


def pytest_terminal_summary(terminalreporter):
    """What tests have measured belongs into every log of them."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == FIGURES:
                terminalreporter.write_line(text)


@pytest.fixture
def show_figures(record_property):
    """Shows a text at the end of the run, whichever process the test ran in."""
    return lambda text: record_property(FIGURES, text)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Profiles and jobs of this test alone."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SFT_TUI_HOME", str(folder / "sft-tui"))
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def sft(home, capsys):
    """Runs one command line of sft-tui within the test; returns what a finished process would be."""

    def run(*arguments):
        capsys.readouterr()
        argv = [str(argument) for argument in arguments]
        before = signal.getsignal(signal.SIGTERM)
        try:
            code = run_command(argv)
        except SystemExit as end:  # of the parser, which has said why
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, before)
        return subprocess.CompletedProcess(argv, code, *capsys.readouterr())

    return run


@pytest.fixture
def sft_process(home):
    """Runs one command line of sft-tui as a user would; returns the finished process."""

    def run(*arguments, timeout=120):
        return subprocess.run(
            [sys.executable, "-m", "sft_tui", *map(str, arguments)],
            cwd=ROOT,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def made_llamas(tmp_path_factory):
    """Llama folders that tests/golden/make_hf_llama.py wrote, by its flags; each is written once."""
    made = {}

    def make(*flags):
        if flags not in made:
            made[flags] = tmp_path_factory.mktemp("made") / "llama"
            subprocess.run([sys.executable, GOLDEN / "make_hf_llama.py", made[flags], *flags], check=True)
        return made[flags]

    return make


@pytest.fixture
def make_llama(tmp_path, made_llamas):
    """Writes a small Llama folder; flags of tests/golden/make_hf_llama.py."""

    def make(name="llama", *flags, tokenizer=True):
        folder = tmp_path / name
        shutil.copytree(made_llamas(*flags), folder)
        if tokenizer:
            (folder / "tokenizer.model").write_bytes((GOLDEN / "tokenizer.model").read_bytes())
        return folder

    return make


@pytest.fixture
def alpaca(tmp_path):
    """Writes an alpaca file of `count` records; `change(records)` may spoil it."""

    def write(name="alpaca.json", count=40, change=None):
        records = [
            {"instruction": f"Say {n}.", "input": "" if n % 3 else f"number {n}", "output": f"It is {n}."}
            for n in range(count)
        ]
        if change:
            change(records)
        path = tmp_path / name
        path.write_text(json.dumps(records), encoding="utf-8")
        return path

    return write
