"""config.json of transformers 5 in the words that MindFormers reads: equal in meaning, and said."""

from __future__ import annotations

import json

import pytest

from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.checkpoint.mapping.config_words import KNOWN, translate_config
from sft_tui.checkpoint.mapping.read_config import parse_model_config
from sft_tui.demo.toy_qwen3 import write_toy_qwen3


@pytest.fixture
def old(tmp_path):
    write_toy_qwen3(tmp_path, tied=True)
    return json.loads((tmp_path / "config.json").read_text())


def in_new_words(old, **more):
    new = {key: value for key, value in old.items() if key not in ("rope_theta", "torch_dtype", "rope_scaling")}
    rope = {"rope_type": "default", "rope_theta": old["rope_theta"]}
    return {**new, "dtype": old["torch_dtype"], "rope_parameters": rope, **more}


def test_a_config_in_old_words_stays_as_it_is(old):
    words = translate_config(old)
    assert (words.data, words.changes, words.unknown, words.text) == (old, (), (), "")


def test_new_words_become_old_ones_of_the_same_meaning(old):
    new = in_new_words(old, unsloth_version="2026.1", pruned_heads={}, some_future_key=None)
    words = translate_config(new)
    assert json.loads(words.text) == {key: value for key, value in old.items() if key != "rope_scaling" or value}
    assert parse_model_config(words.data, "old") == parse_model_config(new, "new") == parse_model_config(old, "x")
    assert all(word in " ".join(words.changes) for word in ("rope_theta", "torch_dtype", "unsloth_version"))
    assert words.unknown == () and set(words.data) <= KNOWN


def test_a_scaling_is_carried_over_and_one_that_is_none_is_not(old):
    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000}
    data = translate_config({**in_new_words(old), "rope_parameters": rope}).data
    assert (data["rope_theta"], data["rope_scaling"]) == (10000, {"rope_type": "yarn", "factor": 4.0})
    for none in ({"rope_type": "default"}, {"type": "linear", "factor": 1.0}):
        words = translate_config({**old, "rope_scaling": none})
        assert words.data["rope_scaling"] is None and words.changes
        assert "rope_scaling" not in translate_config(in_new_words(old, rope_parameters=none)).data


def test_nothing_is_dropped_without_a_word(old):
    assert "rope_parameters" not in json.loads(translate_config({**old, "rope_parameters": None}).text)
    of_each_kind = {"full_attention": {"rope_theta": 1}, "sliding_attention": {"rope_theta": 2}}
    assert translate_config({**old, "rope_parameters": of_each_kind}).unknown == ("rope_parameters",)


def test_what_has_no_old_word_is_left_for_mindformers_to_judge(old):
    assert translate_config({**old, "no_rope_layers": [1]}).unknown == ("no_rope_layers",)


def test_inspect_says_what_is_put_otherwise(tmp_path, old):
    (tmp_path / "config.json").write_text(json.dumps(in_new_words(old)))
    report = inspect_checkpoint(tmp_path)
    [problem] = [p for p in report.problems if "words" in p.message]
    assert problem.severity == "warning" and "rope_parameters as rope_theta" in problem.message
    assert report.words is not None and report.words.text


@pytest.mark.parametrize(
    ("rope", "scaled"),
    [
        ({"rope_type": "default"}, False),
        ({"type": "linear", "factor": 1.0}, False),
        ({"rope_type": "dynamic", "factor": 1}, False),
        ({"type": "linear", "factor": 2.0}, True),
        ({"rope_type": "llama3", "factor": 1.0}, True),
    ],
)
def test_what_scales_nothing_is_no_scaling(old, rope, scaled):
    assert bool(parse_model_config({**old, "rope_scaling": rope}, "c").rope_scaling) == scaled
