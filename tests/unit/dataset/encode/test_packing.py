"""Several records to a row: whole, none lost, none learned from another's end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.audit.sample import audit_sample
from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.encode.packing import OPEN_ROWS, Packer
from sft_tui.dataset.encode.pad_rows import packed_rows, shifted_rows
from sft_tui.dataset.mindrecord.manifest import load_manifest
from sft_tui.dataset.mindrecord.request import SHIFTED, Request
from sft_tui.dataset.preprocess import preprocess
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.demo.toy_qwen3 import write_toy_tokenizer
from sft_tui.errors import InvalidInputError

LENGTH = 20


def pack(sizes: list[int]) -> list[dict[str, np.ndarray]]:
    packer, rows = Packer(LENGTH), []
    for number, size in enumerate(sizes):
        ids = np.full(size, number + 1, np.int32)
        labels = np.append(ids[1:], np.int32(IGNORE_TOKEN_ID))
        rows += packed_rows(packer.add(ids, labels), LENGTH, 0)
    return rows + packed_rows(packer.finish(), LENGTH, 0)


@given(st.lists(st.integers(1, LENGTH), min_size=1, max_size=300))
def test_every_record_is_there_once_and_whole(sizes):
    rows = pack(sizes)
    found = np.concatenate([row["input_ids"] for row in rows])
    counts = np.bincount(found, minlength=len(sizes) + 1)[1:]
    assert counts.tolist() == sizes
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) == LENGTH
        used = row["input_ids"][row["input_ids"] > 0]
        # each record stands together: as many changes as records
        assert int((np.diff(used) != 0).sum()) + 1 == len(set(used.tolist()))


@given(st.lists(st.integers(1, LENGTH), min_size=1, max_size=100))
def test_no_label_comes_from_another_record(sizes):
    for row in pack(sizes):
        ids, labels = row["input_ids"], row["labels"]
        learned = labels != IGNORE_TOKEN_ID
        assert np.array_equal(labels[learned], ids[learned])  # all tokens of a record are the same here
        borders = np.flatnonzero(np.diff(ids))
        assert (labels[borders] == IGNORE_TOKEN_ID).all() and labels[-1] == IGNORE_TOKEN_ID


def test_the_fullest_row_that_takes_a_record_gets_it():
    rows = pack([12, 15, 5, 8])
    assert [sorted(set(row["input_ids"].tolist()) - {0}) for row in rows] == [[2, 3], [1, 4]]


def test_few_rows_wait():
    packer = Packer(LENGTH)
    done = [row for _ in range(200) for row in packer.add(np.ones(11, np.int32), np.ones(11, np.int32))]
    assert len(done) == 200 - OPEN_ROWS and len(packer.finish()) == OPEN_ROWS


def test_labels_are_those_of_the_next_token():
    row = {"input_ids": np.arange(5), "labels": np.array([-100, -100, 2, 3, -100])}
    [shifted] = shifted_rows([row])
    assert shifted["input_ids"].tolist() == [0, 1, 2, 3]
    assert shifted["labels"].tolist() == [-100, 2, 3, -100]


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    write_toy_tokenizer(tmp_path)
    sums = [(a, b) for a in range(5) for b in range(8)]
    questions = [{"role": "user", "content": f"What is {a} plus {b}?"} for a, b in sums]
    answers = [{"role": "assistant", "content": f"{a + b}."} for a, b in sums]
    (tmp_path / "in.json").write_text(json.dumps([{"messages": pair} for pair in zip(questions, answers)]))
    return Request(
        str(tmp_path / "in.json"),
        tmp_path / "tokenizer.json",
        tmp_path / "out.mindrecord",
        seq_length=120,
        template="chat",
        labels=SHIFTED,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": "odd"}, "Labels `odd` are unknown"),
        ({"pack": True, "labels": "as tokens"}, "can be packed"),
        ({"eval_fraction": 0.1}, "these are conversations"),
        ({"model_file": Path(__file__).parents[3] / "golden" / "tokenizer.model"}, "chat templates come with those"),
    ],
)
def test_what_does_not_go_together_is_refused(request_, change, words):
    with pytest.raises(InvalidInputError, match=words):
        preprocess(replace(request_, **change))
    assert not request_.output_file.exists()


def sft(*words: object) -> subprocess.CompletedProcess[str]:
    """Under an interpreter of its own: the processes of the pipeline have to start before MindSpore."""
    command = [sys.executable, "-m", "sft_tui", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(*paths: Path) -> list[list[dict[str, list[int]]]]:
    code = (
        "import json, pathlib, sys; from sft_tui.dataset.mindrecord.file import read_rows;"
        "files = [read_rows(pathlib.Path(path)) for path in sys.argv[1:]];"
        "print(json.dumps([[{name: ids.tolist() for name, ids in row.items()} for row in rows] for rows in files]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def count_learned(rows: list[dict[str, list[int]]], length: int) -> int:
    """Labels that are learned; each has to be the next token."""
    learned = 0
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) == length
        for place, label in enumerate(row["labels"]):
            if label != IGNORE_TOKEN_ID:
                assert label == row["input_ids"][place + 1]
                learned += 1
    return learned


@pytest.mark.real
def test_a_mindrecord_has_the_labels_of_the_family_packed_or_not(request_, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    words = ["preprocess", "--input_glob", tmp_path / "in.json", "--tokenizer", tmp_path, "--template", "chat"]
    words += ["--seq_length", 120, "--json"]
    plain, packed = tmp_path / "plain.mindrecord", tmp_path / "packed.mindrecord"
    told = json.loads(sft(*words, "--output_file", plain).stdout)
    assert (told["row_length"], told["rows"], told["records"]) == (120, 40, 40)
    learned = told["trained_tokens"]
    manifest = load_manifest(plain)
    assert manifest is not None and manifest.work.labels == SHIFTED

    told = json.loads(sft(*words, "--output_file", packed, "--pack").stdout)
    assert told["records"] == 40 and told["rows"] < 20 and told["pad_share"] < 0.25
    rows, rows_packed = read(plain, packed)
    assert count_learned(rows, 120) == count_learned(rows_packed, 120) == learned > 0
    foretold = audit_sample(tmp_path / "in.json", load_tokenizer(tmp_path / "tokenizer.json"), "chat", 120).packed_rows
    assert foretold is not None and abs(foretold - told["rows"]) <= 2
    report = json.loads(sft("audit", packed, "--tokenizer", tmp_path, "--seq_length", 120, "--json").stdout)
    assert (report["rows"], report["trained_tokens"], report["masked"]) == (told["rows"], learned, 0)

    again = sft(*words[:-1], "--output_file", packed, "--pack")
    assert "already there" in again.stdout and "lets a record see those before it" in again.stdout
    # another chat template is other work, the same one is not
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["chat_template"] = settings["chat_template"].replace("user\\n", "user\\n ")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert json.loads(sft(*words, "--output_file", packed, "--pack").stdout)["skipped"] is False


@pytest.mark.real
def test_ids_that_the_model_has_not_are_refused(request_, tmp_path):
    words = ["preprocess", "--input_glob", tmp_path / "in.json", "--tokenizer", tmp_path, "--template", "chat"]
    (tmp_path / "config.json").write_text('{"model_type": "qwen3", "vocab_size": 600}')
    done = sft(*words, "--output_file", tmp_path / "o.mindrecord")
    assert done.returncode == 2 and "the model has only 600 embeddings" in done.stderr
    assert not (tmp_path / "o.mindrecord").exists()
