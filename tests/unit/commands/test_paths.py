"""Every command with a path that is no good: one sentence and exit code 2, at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

TOKENIZER = str(Path(__file__).parents[2] / "golden" / "tokenizer.model")
DATA = str(Path(__file__).parents[2] / "golden" / "alpaca_tricky.json")
HUGE = "99999999999999999999"
# {} is the path, {out} a place to write to
COMMANDS = {
    "inspect": "inspect {}",
    "convert-weight": "convert-weight --model llama --input_path {} --output_path {out}.ckpt",
    "reversed": "convert-weight --model llama --reversed --input_path {} --output_path {out}",
    "convert-alpaca": "convert-alpaca --data_path {} --output_path {out}.json",
    "preprocess": f"preprocess --input_glob {{}} --model_file {TOKENIZER} --output_file {{out}}.mindrecord",
    "preprocess, tokenizer": f"preprocess --input_glob {DATA} --model_file {{}} --output_file {{out}}.mindrecord",
    "audit": f"audit {{}} --model_file {TOKENIZER} --seq_length 64",
    "audit, a record": f"audit {{}} --model_file {TOKENIZER} --seq_length 64 --record {HUGE}",
    "audit, tokenizer": f"audit {DATA} --model_file {{}} --seq_length 64",
    "summary": "summary {}",
    "profile show": "profile show {}",
    "jobs metrics": "jobs metrics {}",
    "jobs log": "jobs log {}",
    "jobs show": "jobs show {}",
    "plan": "plan {}",
}


@pytest.fixture
def paths(tmp_path):
    """A path of each kind."""
    kinds = ("missing", "folder", "FIFO", "device", "empty", "junk", "a link to nothing")
    made = {kind: tmp_path / kind for kind in kinds}
    made["folder"].mkdir()
    os.mkfifo(made["FIFO"])
    made["empty"].touch()
    made["junk"].write_bytes(os.urandom(100_000))
    made["a link to nothing"].symlink_to("nowhere")
    try:
        os.mknod(made["device"], 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        made["device"].symlink_to("/dev/zero")
    return made


# it looks for MindSpore before it reads
NEEDS_MINDSPORE = pytest.param("preprocess", marks=pytest.mark.real)


@pytest.mark.parametrize("name", [NEEDS_MINDSPORE if name == "preprocess" else name for name in COMMANDS])
def test_a_path_that_is_no_good_is_said(sft, paths, tmp_path, name):
    for kind, path in paths.items():
        pattern = COMMANDS[name].replace("{out}", str(tmp_path / "out"))
        words = [word.replace("{}", str(path)) for word in pattern.split()]
        result = sft(*words)
        assert result.returncode == 2, (kind, result.stderr)
        assert "unexpected" not in result.stderr and result.stderr.startswith(("sft-tui: error: ", "error: ")), kind
        assert not list(tmp_path.glob("out*")), kind


@pytest.mark.parametrize("number", [HUGE, "-1", "31"])
def test_a_record_that_is_not_there(sft, number):
    result = sft("audit", DATA, "--model_file", TOKENIZER, "--seq_length", "64", "--record", number)
    assert result.returncode == 2 and f"no record {number}" in result.stderr
