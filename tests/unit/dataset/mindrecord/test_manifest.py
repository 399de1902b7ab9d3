from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sft_tui.dataset.mindrecord.manifest import (
    DataManifest,
    describe_work,
    find_inputs,
    load_manifest,
    load_same,
    manifest_path,
    save_manifest,
    stamp_file,
)
from sft_tui.dataset.mindrecord.request import Request
from sft_tui.errors import InvalidInputError


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    (tmp_path / "b.json").write_text("[ ]", encoding="utf-8")
    (tmp_path / "tokenizer.model").write_bytes(b"model")
    return Request(str(tmp_path / "?.json"), tmp_path / "tokenizer.model", tmp_path / "out.mindrecord", seq_length=256)


def is_same(request: Request) -> bool:
    return load_same(request.output_file, describe_work(request)) is not None


@pytest.fixture
def output(tmp_path: Path, request_: Request) -> Path:
    path = tmp_path / "out.mindrecord"
    names = [path.name, path.name + ".db"]
    for name in names:
        (tmp_path / name).write_bytes(b"rows")
    files = tuple(stamp_file(tmp_path / name, name) for name in names)
    save_manifest(path, DataManifest(describe_work(request_), 10, 257, 2, 1, 0, 900, 400, 0.25, files))
    return path


def test_a_manifest_comes_back_as_it_was(output, request_):
    manifest = load_manifest(output)
    assert manifest is not None
    assert (manifest.rows, manifest.cut, manifest.masked, manifest.pad_share) == (10, 2, 1, 0.25)
    assert manifest.work == describe_work(request_)
    written = json.loads(manifest_path(output).read_text(encoding="utf-8"))
    assert written["schema_version"] == 2
    assert len(written["work"]["model_sha256"]) == 64
    assert [Path(item["path"]).name for item in written["work"]["inputs"]] == ["a.json", "b.json"]


def test_the_same_work_is_known(output, request_):
    assert is_same(request_)


@pytest.mark.parametrize(
    "change",
    [
        {"seq_length": 512},
        {"template": "alpaca"},
        {"file_partition": 2},
        {"dataset_type": "wiki"},
        {"purpose": "eval"},
        {"columns": (("output", "answer"),)},
        {"on_error": "skip"},
    ],
)
def test_another_parameter_is_other_work(output, request_, change):
    assert not is_same(replace(request_, **change))


@pytest.mark.parametrize(("part", "same"), [("all", True), ("train", False), ("held_out", False)])
def test_a_manifest_of_an_earlier_version_that_could_split_an_input(output, request_, part, same):
    written = json.loads(manifest_path(output).read_text(encoding="utf-8"))
    written["work"].update(part=part, eval_split=0.0 if same else 0.5, seed=0)
    manifest_path(output).write_text(json.dumps(written), encoding="utf-8")
    assert is_same(request_) is same


@pytest.mark.parametrize("name", ["a.json", "tokenizer.model", "out.mindrecord", "out.mindrecord.db"])
def test_a_file_that_changed_is_other_work(output, request_, name):
    path = output.with_name(name)
    os.utime(path, ns=(1, 1))
    assert not is_same(request_)


def test_one_more_input_is_other_work(output, request_):
    output.with_name("c.json").write_text("[]", encoding="utf-8")
    assert not is_same(request_)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 2, "work": 3}'])
def test_a_manifest_that_cannot_be_read_counts_as_none(output, request_, content):
    manifest_path(output).write_text(content, encoding="utf-8")
    assert load_manifest(output) is None
    assert not is_same(request_)


def test_missing_outputs_are_no_work_done(output, request_):
    output.unlink()
    assert not is_same(request_)


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match="No file matches"):
        find_inputs(str(tmp_path / "*.json"))


def test_a_name_with_brackets_is_a_name_first(tmp_path):
    path = tmp_path / "data[1].json"
    path.touch()
    assert find_inputs(str(path)) == [path]


def test_folders_are_no_inputs_and_order_is_by_name(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b", "a", "sub/c"):
        (tmp_path / name).touch()
    assert find_inputs(str(tmp_path / "*")) == [tmp_path / "a", tmp_path / "b"]
    assert find_inputs(str(tmp_path / "**" / "c")) == [tmp_path / "sub" / "c"]
