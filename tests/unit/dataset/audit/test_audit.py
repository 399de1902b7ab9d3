from __future__ import annotations

import json

import pytest

from sft_tui.dataset.run_audit import audit, is_mindrecord
from sft_tui.errors import InvalidInputError


def test_the_golden_conversations_are_told_apart(golden, model_file):
    report = audit(golden / "alpaca_tricky_conversation.json", model_file, 256)
    assert (report.kind, report.rows, report.cut, report.masked) == ("conversations", 30, 2, 6)
    assert [finding.id for finding in report.cut_examples] == ["23", "24"]
    assert {finding.id: finding.reason for finding in report.masked_examples} == {
        "3": "the answer is empty",
        "9": "the separator that ends an answer stands in the text as well",
        "11": "the text has an unknown token, which is also the padding",
        "12": "the words that open an answer stand in the text as well",
        "13": "the words that open an answer stand in the text as well",
        "24": "the answer begins beyond seq_length",
    }
    assert report.masked_reasons["opening_in_text"] == 2
    assert (report.tokens_p50, report.tokens_max) == (154, 941)
    assert report.tokens_p50 <= report.tokens_p95 <= report.tokens_max
    assert 0.0 < report.pad_share < 1.0
    assert json.loads(json.dumps(report.to_json()))["masked_examples"][0]["id"] == "3"


def test_only_the_first_ten_are_named(golden, model_file):
    report = audit(golden / "alpaca_tricky_conversation.json", model_file, 64)
    assert (report.cut, report.masked, report.trained_tokens, report.pad_share) == (30, 30, 0, 0.0)
    assert len(report.cut_examples) == len(report.masked_examples) == 10


def test_trained_tokens_are_the_labels_that_count(write_json, model_file, tokenizer):
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "an answer"}]
    report = audit(write_json([{"id": "1", "conversations": turns}] * 3), model_file, 100)
    assert report.trained_tokens == 3 * (len(tokenizer.encode("an answer")) + 1)


def test_what_cannot_be_audited_is_named(write_json, model_file, tmp_path):
    with pytest.raises(InvalidInputError, match="holds no row"):
        audit(write_json([]), model_file, 100)
    assert audit(write_json([{"instruction": "a", "output": "b"}]), model_file, 100).rows == 1
    with pytest.raises(InvalidInputError, match="does not exist"):
        audit(tmp_path / "none.mindrecord", model_file, 100)
    with pytest.raises(InvalidInputError, match="seq_length is 0"):
        audit(write_json([]), model_file, 0)
    bad = [{"from": "gpt", "value": "q"}, {"from": "gpt", "value": "q"}]
    path = write_json([{"id": "1", "conversations": bad}])
    with pytest.raises(InvalidInputError, match=f"{path}: record 1"):
        audit(path, model_file, 100)


def test_a_mindrecord_without_its_index_is_named(tmp_path, model_file):
    (tmp_path / "out.mindrecord").write_bytes(b"data")
    with pytest.raises(InvalidInputError, match=r"no index out\.mindrecord\.db"):
        audit(tmp_path / "out.mindrecord", model_file, 100)


def test_a_mindrecord_is_known_by_its_name_or_its_index(tmp_path):
    assert is_mindrecord(tmp_path / "out.mindrecord")
    assert is_mindrecord(tmp_path / "out.mindrecord3")
    assert not is_mindrecord(tmp_path / "conv.json")
    (tmp_path / "train0.db").touch()
    assert is_mindrecord(tmp_path / "train")
    assert not is_mindrecord(tmp_path / "train.json")
