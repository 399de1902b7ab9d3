from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.audit import sample as sample_module
from sft_tui.dataset.audit.limits import Limits, check_limits, cut_warning
from sft_tui.dataset.audit.report import build_histogram, parse_audit, percentile, suggest_lengths
from sft_tui.dataset.audit.sample import RecordViewer, audit_sample, view_record
from sft_tui.dataset.audit.text import audit_lines, histogram_lines
from sft_tui.dataset.run_audit import audit
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.errors import InvalidInputError

LENGTHS = st.lists(st.integers(1, 100_000), min_size=1, max_size=300).map(
    lambda found: np.sort(np.array(found, dtype=np.int32))
)


@given(LENGTHS)
def test_every_row_is_in_one_bar(lengths):
    bars = build_histogram(lengths)
    assert sum(bar.rows for bar in bars) == len(lengths)
    assert bars[0].rows and bars[-1].rows
    assert lengths[-1] <= bars[-1].tokens
    below = 0
    for bar in bars:
        assert bar.rows == int(((lengths > below) & (lengths <= bar.tokens)).sum())
        below = bar.tokens


@given(LENGTHS, st.sampled_from([0, 1]))
def test_a_suggested_length_covers_what_it_says(lengths, more):
    for item in suggest_lengths(lengths, more):
        whole = float((lengths <= item.seq_length + more).mean())
        assert whole >= item.covered - 1e-9
        assert item.seq_length % 64 == 0
        used = np.minimum(lengths, item.seq_length + more).sum() / (len(lengths) * (item.seq_length + more))
        assert item.pad_share == pytest.approx(1 - used)


def test_percentiles_are_of_the_nearest_rank():
    ordered = np.arange(1, 101, dtype=np.int32)
    assert [percentile(ordered, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 50, 95, 100]


def conversation(number, question, answer):
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": f"r{number}", "conversations": turns}


def test_what_is_empty_said_twice_or_unusable_is_counted(write_json, model_file):
    records = [conversation(1, "one", "two"), conversation(2, "one", "two"), conversation(3, "one", "")]
    records.append({"id": "4", "conversations": 7})
    report = audit(write_json(records), model_file, 100)
    assert (report.rows, report.duplicates, report.empty_outputs, report.rejected) == (3, 1, 1, 1)
    assert report.tokens >= report.trained_tokens > 0
    assert 0 < report.largest_id < 1024
    assert parse_audit(json.loads(json.dumps(report.to_json()))) == report
    lines = "\n".join(audit_lines(report))
    for words in ("say what one before says: 1", "could not be used: 1", "id r3: the answer is empty"):
        assert words in lines


def test_limits(golden, model_file):
    report = audit(golden / "alpaca_tricky_conversation.json", model_file, 64)
    with pytest.raises(InvalidInputError, match=r"30 of 30 rows teach nothing \(100.0%; at most 5.0%") as caught:
        check_limits(report, Limits())
    assert "seq_length helps" in caught.value.hint and "--max_masked" in caught.value.hint
    check_limits(report, Limits(max_masked=1.0))
    with pytest.raises(InvalidInputError, match="the model has only 500 embeddings"):
        check_limits(report, Limits(max_masked=1.0, vocab_size=500))
    assert "30 of 30 rows are longer than 65 tokens" in (cut_warning(report, Limits()) or "")
    assert cut_warning(audit(golden / "alpaca_tricky_conversation.json", model_file, 2000), Limits()) is None


def test_bars_fit_their_width_and_tell_where_rows_are_cut(golden, model_file):
    report = audit(golden / "alpaca_tricky_conversation.json", model_file, 256)
    lines = histogram_lines(report, 20)
    assert max(line.count("#") for line in lines) == 20
    assert [line.split()[:3] for line in lines if line.endswith("< cut at 257")] == [["up", "to", "384"]]
    assert "cut at" not in "".join(histogram_lines(audit(golden / "alpaca_tricky_conversation.json", model_file, 999)))


def test_a_sample_is_audited_without_processes(golden, model_file, tokenizer):
    path = golden / "alpaca_tricky_conversation.json"
    sample = audit_sample(path, tokenizer, "vicuna_v1.1", 256)
    assert sample.packed_rows == sample.rows == 30  # no two fit into a row
    assert (audit_sample(path, tokenizer, "vicuna_v1.1", 2048).packed_rows or 30) < 15
    assert replace(sample, packed_rows=None) == audit(path, model_file, 256)
    alpaca = audit_sample(golden / "alpaca_tricky.json", tokenizer, "vicuna_v1.1", 256)
    assert (alpaca.rows, alpaca.masked_reasons) == (30, audit(path, model_file, 256).masked_reasons)


def test_a_record_is_shown_as_the_model_sees_it(write_json, model_file):
    path = write_json([conversation(1, "one", "two three"), conversation(2, "one", "w" * 300)])
    view = view_record(path, model_file, 1, seq_length=200)
    assert "".join(span.text for span in view.spans if span.trained).strip() == "two three</s>"
    whole = "".join(span.text for span in view.spans)
    assert whole.startswith("<s>") and "USER: one ASSISTANT: two three</s>" in whole
    assert not any(span.beyond for span in view.spans)
    assert view.masked_reason == ""

    cut = view_record(path, model_file, 2, seq_length=100)
    assert cut.tokens > cut.row_length == 101
    learned, beyond = (sum(span.text.count("w") for span in cut.spans if kind(span)) for kind in (_trained, _beyond))
    assert learned + beyond >= 300 and learned and beyond
    assert "".join(span.text for span in cut.spans).endswith("w</s>")


def _trained(span):
    return span.trained


def _beyond(span):
    return span.beyond


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_record_that_is_not_there(write_json, model_file, number):
    path = write_json([conversation(1, "one", "two")] * 2)
    with pytest.raises(InvalidInputError, match=f"has no record {number}"):
        view_record(path, model_file, number, seq_length=200)


def test_a_record_that_cannot_be_used_is_named(write_json, model_file):
    with pytest.raises(InvalidInputError, match="record 1"):
        view_record(write_json([{"conversations": 3}]), model_file, 1, seq_length=200)


def test_records_are_read_on_and_not_again_from_the_start(write_json, model_file, monkeypatch):
    path = write_json([conversation(n, f"ask {n}", f"answer {n}") for n in range(1, 151)])
    opened = []
    read = sample_module.read_records
    monkeypatch.setattr(sample_module, "read_records", lambda *a: opened.append(a) or read(*a))
    viewer = RecordViewer(path, load_tokenizer(model_file), 200)
    assert [viewer.view(number).number for number in (1, 2, 3, 2, 150, 60)] == [1, 2, 3, 2, 150, 60]
    assert len(opened) == 1
    assert viewer.view(50).id == "r50" and len(opened) == 2  # further back than what is kept
    with pytest.raises(InvalidInputError, match="no record 151"):
        viewer.view(151)
    assert viewer.view(150).id == "r150"
