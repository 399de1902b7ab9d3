"""What the data will certainly meet later is said before the job, with the value that would do."""

from __future__ import annotations

import json

import pytest

from sft_tui.checks.data import check_samples, check_unread_fields
from sft_tui.core.profile import Profile
from sft_tui.dataset.audit.sample import audit_sample
from sft_tui.dataset.read.inspect import inspect_data
from sft_tui.dataset.tokenizer.load import load_tokenizer


@pytest.fixture
def sampled(tmp_path, golden):
    """sampled(records, **dataset): the problems that the first records tell."""

    def check(records, template="vicuna_v1.1", **dataset):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(records))
        profile = Profile.model_validate({"name": "p", "dataset": dataset})
        tokenizer = load_tokenizer(golden / "tokenizer.model")
        return check_samples(audit_sample(path, tokenizer, template, profile.dataset.seq_length), profile)

    return check


def alpaca(count, words):
    return [{"instruction": "say " * words, "output": "yes"} for _ in range(count)]


def test_too_many_masked_samples_are_an_error_with_the_length_that_would_do(sampled):
    records = alpaca(18, 10) + alpaca(2, 300)
    problem = next(p for p in sampled(records, seq_length=256) if p.severity == "error")
    assert problem.field == "dataset.seq_length" and "2 of the first 20 records are fully masked" in problem.message
    length = int(problem.hint.split("length of ")[1].split(",")[0])
    assert not [p for p in sampled(records, seq_length=length) if p.severity == "error"]
    share = float(problem.hint.split("allow ")[1].split(" ")[0])
    assert not [p for p in sampled(records, seq_length=256, max_masked=share) if p.severity == "error"]


def test_records_that_the_template_cannot_write_are_an_error_unless_they_are_skipped(sampled):
    talk = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    bad = {"messages": [*talk["messages"], {"role": "tool", "content": "1"}]}
    [problem] = sampled([talk] * 3 + [bad])
    assert problem.severity == "error" and "1 of the first 4" in problem.message and "Record 4" in problem.message
    assert not sampled([talk] * 3 + [bad], on_error="skip")


@pytest.mark.parametrize(("choice", "severity"), [("warn", "warning"), ("fail", "error"), ("ignore", "")])
def test_fields_that_are_not_read_are_told_as_the_profile_wants(tmp_path, choice, severity):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"instruction": "i", "output": "o", "images": ["x"]}]))
    profile = Profile.model_validate({"name": "p", "dataset": {"on_unread": choice}})
    problems = check_unread_fields(profile, inspect_data(path))
    assert [p.severity for p in problems] == ([severity] if severity else [])
    assert all("`images`" in p.message and "1 record" in p.message for p in problems)
