"""Keys of config.json that the installed MindFormers refuses, by its own mapping."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.stack import config_probe
from sft_tui.stack.config_probe import find_refused_keys


def interpreter(tmp_path, code):
    """An executable that stands for the training interpreter."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('print(\'refused: ["a", "b"]\')', (["a", "b"], "")),
        ("print('banner'); print('refused: []'); print('more')", ([], "")),
        ("import sys; sys.exit('ImportError: no mindspore')", ([], "ImportError: no mindspore")),
    ],
)
def test_what_it_answers(tmp_path, code, expected):
    assert find_refused_keys(interpreter(tmp_path, code), "", "qwen3", {}) == expected


def test_an_interpreter_that_is_not_there_is_told(tmp_path):
    refused, error = find_refused_keys(os.fspath(tmp_path / "none"), "", "qwen3", {})
    assert refused == [] and "No such file" in error


def test_a_configuration_of_any_length_reaches_it(tmp_path):
    python = interpreter(tmp_path, "import json, sys; print('refused: ' + json.dumps(list(json.load(sys.stdin))))")
    config = {"id2label": {str(number): "x" * 20 for number in range(20_000)}}
    assert len(json.dumps(config)) > 128 << 10, "more than Linux takes as one argument"
    assert find_refused_keys(python, "", "qwen3", config) == (["id2label"], "")


def test_one_that_hangs_is_left_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(config_probe, "_SECONDS", 0.5)
    pids = tmp_path / "pids"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsleep 600 & echo $! $$ > {pids}; wait\n")
    python.chmod(0o755)
    began = time.monotonic()
    refused, error = find_refused_keys(str(python), "", "qwen3", {"a": 1})
    assert refused == [] and "did not answer within" in error and time.monotonic() - began < 20
    until = time.monotonic() + 5
    while any(_runs(pid) for pid in pids.read_text().split()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(_runs(pid) for pid in pids.read_text().split())


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.real
@pytest.mark.nightly
def test_the_real_one_refuses_what_it_does_not_know(tmp_path):
    write_toy_qwen3(tmp_path, tied=True)
    config = json.loads((tmp_path / "config.json").read_text())
    assert find_refused_keys(sys.executable, "", "qwen3", config) == ([], "")
    new = {**config, "no_such_key": 1, "other_key": {}}
    assert find_refused_keys(sys.executable, "", "qwen3", new) == (["no_such_key", "other_key"], "")
