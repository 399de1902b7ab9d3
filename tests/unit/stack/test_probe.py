"""What an interpreter is asked, and what comes of one that is none."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from sft_tui.stack import probe
from sft_tui.stack.probe import probe_environment, source_version


@pytest.fixture
def stub(tmp_path):
    """Makes an executable script."""

    def make(text, name="python"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return make


def test_this_interpreter_answers():
    facts = probe_environment("", "")
    assert (facts.python, facts.error) == (sys.executable, "")
    assert facts.python_version.startswith("3.")


def test_a_missing_interpreter():
    facts = probe_environment("/no/such/python", "")
    assert facts.error == "/no/such/python does not exist"
    assert (facts.python_version, facts.packages, facts.release) == ("", {}, None)


def test_a_folder_and_a_file_without_the_right_to_run(tmp_path):
    assert "not an executable file" in probe_environment(str(tmp_path), "").error
    (tmp_path / "python").write_text("#!/bin/sh\n")
    assert "not an executable file" in probe_environment(str(tmp_path / "python"), "").error


@pytest.mark.parametrize(
    "script, reason",
    [
        ("#!/bin/sh\nexit 0\n", "no output"),
        ("#!/bin/sh\necho hello\n", "hello"),
        ("#!/bin/sh\necho 5\n", "5"),
        ("#!/bin/sh\necho 'ImportError: no metadata' >&2; exit 1\n", "ImportError: no metadata"),
        ("#!/bin/sh\nprintf '\\377\\376'\n", "not a working Python"),
        ("#!/no/such/shell\n", "does not exist"),
        ("\x7fELF nonsense", "could not be started"),
    ],
)
def test_something_that_is_no_python(stub, script, reason):
    path = stub(script)
    facts = probe_environment(path, "")
    assert reason in facts.error
    assert path in facts.error


def test_one_that_hangs_is_given_up_with_all_that_it_started(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.3)
    path = stub(f"#!/bin/sh\nsleep 61 & echo $! > {tmp_path}/pid; wait\n")
    begun = time.monotonic()
    assert "did not answer within" in probe_environment(path, "").error
    assert time.monotonic() - begun < 5
    pid = (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # gone, before or while it was read
        return False


def test_packages_msrun_and_traits_of_an_environment(stub):
    answer = '{"version": "3.11.9", "packages": {"mindspore": "2.7.2", "mindformers": "1.7.0"}, "prefix": "/x"}'
    path = stub(f"#!/bin/sh\necho 'a greeting of sitecustomize'\necho '{answer}'\n")
    assert probe_environment(path, "").msrun == ""
    msrun = stub("#!/bin/sh\n", "msrun")
    facts = probe_environment(path, "")
    assert (facts.error, facts.python_version, facts.mindspore) == ("", "3.11.9", "2.7.2")
    assert facts.msrun == msrun
    assert facts.release.mindformers == "1.7"


def test_a_source_folder_decides_the_version(stub, tmp_path, monkeypatch):
    home = tmp_path / "mf"
    (home / "mindformers").mkdir(parents=True)
    assert source_version(home) == ""
    (home / "mindformers" / "__init__.py").write_text('"""x"""\n__version__ = "1.6.0"\n')
    path = stub('#!/bin/sh\necho \'{"packages": {"mindformers": "1.7.0"}}\'\n')
    facts = probe_environment(path, str(home))
    assert (facts.mindformers_version, facts.run_mindformer, facts.release.mindformers) == ("1.6.0", "", "1.6")
    (home / "run_mindformer.py").touch()
    monkeypatch.chdir(tmp_path)
    facts = probe_environment(path, "mf")  # steps run elsewhere: what was typed must become absolute
    assert facts.run_mindformer == str(home / "run_mindformer.py")
    assert facts.mindformers_home == str(home)
    assert probe_environment(path, str(tmp_path / "none")).mindformers_version == ""


def test_a_name_is_looked_up_on_path_and_a_tilde_is_the_home(stub, monkeypatch, tmp_path):
    path = stub('#!/bin/sh\necho \'{"version": "3.9.1"}\'\n', "python-of-mine")
    monkeypatch.setenv("PATH", str(Path(path).parent), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert probe_environment("python-of-mine", "").python == path
    assert probe_environment("~/bin/python-of-mine", "").python_version == "3.9.1"


@pytest.mark.parametrize("home", [False, True])
def test_the_mindformers_that_is_imported_is_the_one_spoken_of(tmp_path, monkeypatch, home):
    """Found by PYTHONPATH, or in the source folder; the one that is installed beside it is named with its place."""
    source, site = tmp_path / "source", tmp_path / "site"
    for folder, version in ((source, "1.9.0"), (site, "1.3.2")):
        (folder / "mindformers").mkdir(parents=True)
        (folder / "mindformers" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (site / "mindformers-1.3.2.dist-info").mkdir()
    (site / "mindformers-1.3.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mindformers\nVersion: 1.3.2\n"
    )
    monkeypatch.setattr(probe, "_answers", {})
    monkeypatch.setenv("PYTHONPATH", str(site) if home else f"{source}:{site}")
    facts = probe_environment("", str(source) if home else "")
    assert (facts.mindformers_version, facts.mindformers_path) == ("1.9.0", str(source / "mindformers"))
    assert facts.mindformers_other == f"1.3.2 in {site / 'mindformers'}"
    monkeypatch.setattr(probe, "_answers", {})
    monkeypatch.setenv("PYTHONPATH", str(site))
    facts = probe_environment("", "")
    assert (facts.mindformers_version, facts.mindformers_other) == ("1.3.2", "")
