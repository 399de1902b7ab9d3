"""Whose folders they are, and that nothing is left elsewhere."""

from __future__ import annotations

import os

import pytest

from sft_tui.cli import run_command
from sft_tui.errors import EnvironmentNotFitError
from sft_tui.jobs.queue import gate


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SFT_TUI_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "state" / "jobs").mkdir(parents=True)
    (tmp_path / "home" / "config" / "profiles").mkdir(parents=True)
    return tmp_path / "home"


FOLDERS = ["state", "state/jobs", "config", "config/profiles"]
COMMANDS = [["jobs", "list"], ["jobs", "stop", "1"], ["profile", "list"], ["run", "p"], ["diagnose", "1"]]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_folder_that_everybody_can_write_is_refused(home, capsys, folder, arguments):
    (home / folder).chmod(0o777)
    assert run_command(arguments) == 4
    said = capsys.readouterr().err
    assert f"{home / folder} can be written by everybody (mode 777)" in said and f"chmod 700 {home / folder}" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder to another user")
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_folder_of_another_user_is_refused(home, capsys, folder, arguments):
    os.chown(home / folder, 65534, -1)
    assert run_command(arguments) == 4
    said = capsys.readouterr().err
    assert f"{home / folder} belongs to user" in said and "SFT_TUI_HOME" in said


def test_nor_is_a_job_submitted_there(home):
    (home / "state" / "jobs").chmod(0o777)
    with pytest.raises(EnvironmentNotFitError), gate(home / "state" / "jobs"):
        pytest.fail("not reached")


@pytest.mark.parametrize("has_npu_smi", [True, False])
def test_nothing_stays_in_the_folder_for_temporary_files(home, tmp_path, sft_process, monkeypatch, has_npu_smi):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if has_npu_smi:
        program = tmp_path / "bin" / "npu-smi"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho nothing\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for arguments in (["monitor", "--once"], ["jobs", "list"], ["profile", "new", "p"], ["profile", "validate", "p"]):
        sft_process(*arguments)
    assert list(temporary.iterdir()) == []
