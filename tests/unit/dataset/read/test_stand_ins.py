"""Files that are not what their place says, and sizes that a file states: named, and bounded."""

from __future__ import annotations

import base64
import glob
import json
import os
import shutil

import pytest

from sft_tui.dataset.encode.encoder import MAX_SEQ_LENGTH, check_seq_length
from sft_tui.dataset.mindrecord import match_files
from sft_tui.dataset.mindrecord.manifest import find_inputs
from sft_tui.dataset.read.data_file import find_data_file
from sft_tui.dataset.read.sources import read_records
from sft_tui.dataset.tokenizer.load import find_tokenizer, load_tokenizer
from sft_tui.demo.toy_qwen3 import write_toy_tokenizer
from sft_tui.errors import InvalidInputError


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"<!DOCTYPE html><html>", "web page"),
        ("a.jsonl", b"\n <HTML>", "web page"),
        ("a.arrow", b"\xff\xff\xff\xff\x10\0", "Arrow file"),
    ],
)
def test_what_is_no_data_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=words) as caught:
        find_data_file(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize("mark", ["dataset_info.json", "dataset_dict.json"])
def test_a_folder_of_save_to_disk_says_how_it_is_written_out(tmp_path, mark):
    (tmp_path / mark).write_text("{}")
    with pytest.raises(InvalidInputError, match="save_to_disk") as caught:
        find_data_file(tmp_path)
    assert "to_json" in caught.value.hint and ("['train']" in caught.value.hint) == (mark == "dataset_dict.json")


@pytest.mark.parametrize("text", ['[{"instruction": "i", "output": "o",}]', '[{"instruction": "i", "output": "o"},]'])
def test_a_comma_too_many_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="a comma stands before the closing"):
        list(read_records(path))
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"instruction": "i", "output": "o",}\n')
    with pytest.raises(InvalidInputError, match="a comma stands before the closing"):
        list(read_records(lines))


def test_a_vocabulary_of_tiktoken_is_named_or_the_tokenizer_json_beside_it_taken(tmp_path):
    pieces = "".join(f"{base64.b64encode(bytes([n])).decode()} {n}\n" for n in range(256))
    (tmp_path / "tokenizer.model").write_text(pieces)
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        with pytest.raises(InvalidInputError, match="tiktoken") as caught:
            load_tokenizer(path)
        assert "tokenizer.json" in caught.value.hint
    write_toy_tokenizer(tmp_path, ["what is it"] * 3, 281)
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        assert find_tokenizer(path) == tmp_path / "tokenizer.json"
        assert load_tokenizer(path).path.name == "tokenizer.json"


def test_added_tokens_beside_a_sentencepiece_model_are_known(golden, tmp_path):
    model = tmp_path / "tokenizer.model"
    shutil.copy(golden / "tokenizer.model", model)
    pieces = load_tokenizer(model).vocab_size
    added = {"<|im_end|>": pieces + 1, "<|im_start|>": pieces, "[PAD]": pieces + 2, "word": pieces + 3, "": pieces + 4}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    tokenizer = load_tokenizer(model)
    assert tokenizer.vocab_size == pieces + 2
    [(ids, _)] = tokenizer.encode_with_offsets(["<|im_start|>user<|im_end|>"])
    assert (ids[0], ids[-1]) == (pieces, pieces + 1)
    assert tokenizer.decode(ids).startswith("<|im_start|>")
    (tmp_path / "added_tokens.json").write_text('{"<|im_end|>": 2147483648}')
    with pytest.raises(InvalidInputError, match="2147483648"):
        load_tokenizer(model)


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
def test_no_tokenizer_is_read_that_is_not_a_file_of_some_size(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(InvalidInputError, match="a FIFO"):
        load_tokenizer(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InvalidInputError, match="a device"):
        load_tokenizer(path)
    path.unlink()
    with path.open("wb") as stream:
        stream.write(b'{"model": {')
        stream.truncate(5 * 2**30)
    with pytest.raises(InvalidInputError, match="too many for a tokenizer"):
        load_tokenizer(path)


def test_counts_that_no_data_has_are_refused_at_once(tmp_path):
    wide = tmp_path / "a.csv"
    wide.write_text(",".join(f"c{n}" for n in range(200_000)) + "\n")
    with pytest.raises(InvalidInputError, match="200,000 columns"):
        list(read_records(wide))
    with pytest.raises(InvalidInputError, match="must lie between"):
        check_seq_length(10**8)
    check_seq_length(MAX_SEQ_LENGTH)


def test_a_pattern_is_walked_as_glob_does_and_not_for_ever(tmp_path, monkeypatch):
    for name in ("a.txt", "b/c.txt", "b/d/e.txt", ".hidden/f.txt", "b/.g.txt", "b/[x].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "b" / "up").symlink_to(tmp_path)  # a circle
    for pattern in (
        "*.txt",
        "*/*.txt",
        "**/*.txt",
        "**",
        "b/**/*.txt",
        "?.txt",
        "[ab].txt",
        "[!a].txt",
        "b/[[]x].txt",
        "b/.g*",
    ):
        wanted = {path for path in glob.glob(f"{tmp_path}/{pattern}", recursive=True) if os.path.isfile(path)}
        wanted = {path for path in wanted if "/up/" not in path}
        assert {str(path) for path in match_files.match_files(f"{tmp_path}/{pattern}")} == wanted, pattern
    for pattern in ("/proc/**", "/proc/**/x.nomatch", "/sys/**/x"):
        with pytest.raises(InvalidInputError):
            find_inputs(pattern)
    monkeypatch.setattr(match_files, "SECONDS", -1.0)
    with pytest.raises(InvalidInputError, match="Looking for"):
        find_inputs(f"{tmp_path}/**/x.nomatch")
    monkeypatch.undo()
    monkeypatch.setattr(match_files, "MOST_FILES", 2)
    with pytest.raises(InvalidInputError, match="more than 2 files"):
        find_inputs(f"{tmp_path}/**/*.txt")
