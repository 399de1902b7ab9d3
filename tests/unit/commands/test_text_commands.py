"""audit and preprocess of plain text, as a user types them."""

from __future__ import annotations

import json

import pytest

PARAGRAPHS = [f"Paragraph {number} says a thing or two, it is short." for number in range(50)]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(PARAGRAPHS), encoding="utf-8")
    return path


@pytest.fixture
def flags(golden_tokenizer):
    return ("--dataset_type", "wiki", "--model_file", golden_tokenizer, "--seq_length", 32)


@pytest.fixture
def golden_tokenizer():
    from pathlib import Path

    return Path(__file__).parents[2] / "golden" / "tokenizer.model"


def test_a_text_is_audited_and_its_passages_are_shown(sft, text, flags):
    report = json.loads(sft("audit", text, *flags, "--clean", "none", "--json").stdout)
    assert report["kind"] == "wiki" and report["row_length"] == 33 and report["trained_tokens"] == 33 * report["rows"]
    kept = json.loads(sft("audit", text, *flags, "--clean", "none", "--keep_all", "--json").stdout)
    lost = report["remarks"]["left_out"]["tokens at the end, too few for a row"]
    assert kept["tokens"] == report["tokens"] + lost and not kept["remarks"]
    shown = sft("audit", text, *flags, "--clean", "none", "--record", 3)
    assert PARAGRAPHS[2] in shown.stdout and "passage 3: " in shown.stdout
    past = sft("audit", text, *flags, "--record", 51)
    assert past.returncode == 2 and "no passage 51" in past.stderr


def test_flags_of_a_text_go_with_a_text_alone(sft, text, flags, golden_tokenizer):
    for more in (("--keep_all",), ("--clean", "none"), ("--model", "gpt2")):
        said = sft("audit", text, "--model_file", golden_tokenizer, "--seq_length", 32, *more)
        assert said.returncode == 2 and "--dataset_type wiki" in said.stderr
    said = sft("audit", text, *flags, "--model", "nothing")
    assert said.returncode == 2 and "nothing" in said.stderr


@pytest.mark.parametrize("content", ["", '[{"instruction": "i"}]'], ids=["empty", "records"])
def test_what_is_no_text_is_refused_before_anything_is_written(sft, tmp_path, flags, content):
    path, out = tmp_path / "bad.txt", tmp_path / "out" / "o.mindrecord"
    out.parent.mkdir()
    path.write_text(content)
    said = sft("preprocess", "--input_glob", path, "--output_file", out, *flags)
    assert said.returncode == 2 and str(path) in said.stderr and list(out.parent.iterdir()) == []
