"""audit and preprocess of plain text, as a user types them."""

from __future__ import annotations

import json

import pytest

from sft_tui.cli import build_parser
from sft_tui.commands.dataset.preprocess import choose_labels

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


def test_a_text_of_another_kind_that_a_script_would_lose_is_told(sft, text, flags):
    said = sft("audit", text, *flags, "--model", "gpt2")
    assert said.returncode == 2 and "characters of the last passage" in said.stderr
    assert sft("audit", text, *flags, "--model", "gpt2", "--clean", "none").returncode == 0


@pytest.mark.parametrize(
    ("words", "model_type", "labels"),
    [
        (["--dataset_type", "wiki"], "qwen3", "as tokens"),
        (["--dataset_type", "wiki", "--model", "qwen3"], "llama", "shifted"),
        (["--dataset_type", "wiki", "--model", "gpt2"], "qwen3", "as tokens"),
        (["--dataset_type", "wiki", "--model", "qwen3", "--labels", "as-tokens"], "qwen3", "as tokens"),
        ([], "qwen3", "shifted"),
        ([], None, "as tokens"),
    ],
)
def test_labels_are_those_of_the_family_that_is_named(words, model_type, labels):
    given = ["preprocess", "--input_glob", "a", "--model_file", "t", "--output_file", "o", *words]
    assert choose_labels(build_parser().parse_args(given), {"model_type": model_type}) == labels


@pytest.mark.parametrize("content", ["", '[{"instruction": "i"}]'], ids=["empty", "records"])
def test_what_is_no_text_is_refused_before_anything_is_written(sft, tmp_path, flags, content):
    path, out = tmp_path / "bad.txt", tmp_path / "out" / "o.mindrecord"
    out.parent.mkdir()
    path.write_text(content)
    said = sft("preprocess", "--input_glob", path, "--output_file", out, *flags)
    assert said.returncode == 2 and str(path) in said.stderr and list(out.parent.iterdir()) == []
