"""Outputs replace only regular files that are ours, on every command that writes to a place that a user names."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sft_tui.files.made import is_made, note_path


@pytest.fixture
def commands(make_llama, alpaca, golden_tokenizer, tmp_path):
    """Each command that writes, up to its output: name -> (arguments, flag that names the output, its suffix)."""
    model = make_llama()
    talks = tmp_path / "talks.json"
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    talks.write_text(json.dumps([{"id": "1", "conversations": turns}] * 3))
    convert = ("convert-alpaca", "--data_path", alpaca(), "--eval_fraction", "0.5")
    return {
        "convert-alpaca": (
            (*convert[:-2], "--on_error", "skip"), "--output_path", ".json",
        ),
        "held-out data": ((*convert, "--output_path", tmp_path / "train.json"), "--eval_output_path", ".json"),
        "convert-weight": (("convert-weight", "--model", "llama", "--input_path", model), "--output_path", ".ckpt"),
        "preprocess": (
            ("preprocess", "--input_glob", talks, "--model_file", golden_tokenizer, "--seq_length", "64"),
            "--output_file", ".mindrecord",
        ),
    }  # fmt: skip


@pytest.fixture
def golden_tokenizer():
    return Path(__file__).parents[2] / "golden" / "tokenizer.model"


COMMANDS = ("convert-alpaca", "held-out data", "convert-weight", "preprocess")


def make(path, kind):
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "a link to a device"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_file_stays(sft, commands, tmp_path, name, kind):
    arguments, flag, suffix = commands[name]
    output = tmp_path / f"out{suffix}"
    try:
        make(output, kind)
    except PermissionError:
        pytest.skip("only root makes devices")
    before = output.lstat()
    result = sft(*arguments, flag, output, "--force")
    assert result.returncode == 2, result.stderr
    assert "not a file" in result.stderr and str(output) in result.stderr
    assert (output.lstat().st_ino, output.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_not_ours_stays_without_force(sft, commands, tmp_path, name):
    arguments, flag, suffix = commands[name]
    output = tmp_path / f"out{suffix}"
    output.write_text("mine")
    result = sft(*arguments, flag, output)
    assert result.returncode == 2 and "--force" in result.stderr
    assert output.read_text() == "mine"


@pytest.mark.parametrize("name", ["convert-alpaca", "held-out data"])
def test_ours_is_replaced_until_somebody_changed_it(sft, commands, tmp_path, name):
    arguments, flag, suffix = commands[name]
    output = tmp_path / f"out{suffix}"
    for _ in range(2):
        assert sft(*arguments, flag, output).returncode == 0
    assert is_made(output) and note_path(output).is_file()
    changed = output.read_text() + "\n"
    output.write_text(changed)
    refused = sft(*arguments, flag, output)
    assert refused.returncode == 2 and output.read_text() == changed
    assert sft(*arguments, flag, output, "--force").returncode == 0
    assert is_made(output)


def test_a_job_replaces_what_its_steps_write(sft, commands, tmp_path, monkeypatch):
    """As those of earlier versions, which left no note."""
    arguments, flag, suffix = commands["convert-alpaca"]
    output = tmp_path / f"out{suffix}"
    output.write_text("of an earlier version")
    monkeypatch.setenv("SFT_TUI_JOB", str(tmp_path))
    assert sft(*arguments, flag, output).returncode == 0 and is_made(output)


def test_a_list_of_rejected_records_is_replaced_only_where_it_is_ours(sft, commands, alpaca, tmp_path):
    arguments, flag, _ = commands["convert-alpaca"]
    output, listed = tmp_path / "out.json", tmp_path / "out.json.rejected.jsonl"
    listed.write_text("mine")
    assert sft(*arguments, flag, output).returncode == 2 and listed.read_text() == "mine"
    listed.unlink()
    bad = alpaca(change=lambda records: records[3].pop("output"))
    wrong = ("convert-alpaca", "--data_path", bad, "--on_error", "skip", "--max_rejected", "1", flag, output)
    assert sft(*wrong).returncode == 0 and is_made(listed)
    sound = alpaca()
    assert sft("convert-alpaca", "--data_path", sound, "--on_error", "skip", flag, output).returncode == 0
    assert not listed.exists() and not note_path(listed).exists()


def test_scripts_are_not_written_among_the_files_of_others(sft, make_llama, alpaca, fake_stack, tmp_path):
    settings = {
        "environment.python": fake_stack(mindspore="2.7.2", mindformers="1.7.0"),
        "environment.work_dir": tmp_path / "work",
        "model.hf_dir": make_llama(),
        "dataset.train_path": alpaca(),
        "dataset.seq_length": 512,
    }
    sft("profile", "new", "p", *(f"--set={name}={value}" for name, value in settings.items()))
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "run_all.sh").write_text("mine")
    refused = sft("plan", "p", "--script", folder)
    assert refused.returncode == 2 and (folder / "run_all.sh").read_text() == "mine"
    assert sft("plan", "p", "--script", folder, "--force").returncode == 0
    assert sft("plan", "p", "--script", folder).returncode == 0, "it is ours now"
    (tmp_path / "file").write_text("mine")
    assert sft("plan", "p", "--script", tmp_path / "file").returncode == 2
