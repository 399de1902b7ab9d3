"""Keys of config.json that the installed MindFormers refuses, by its own mapping."""

from __future__ import annotations

import json
import os
import sys

import pytest

from sft_tui.demo.toy_qwen3 import write_toy_qwen3
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


@pytest.mark.real
@pytest.mark.nightly
def test_the_real_one_refuses_what_it_does_not_know(tmp_path):
    write_toy_qwen3(tmp_path, tied=True)
    config = json.loads((tmp_path / "config.json").read_text())
    assert find_refused_keys(sys.executable, "", "qwen3", config) == ([], "")
    new = {**config, "rope_parameters": {}, "dtype": "float32"}
    assert find_refused_keys(sys.executable, "", "qwen3", new) == (["rope_parameters", "dtype"], "")
