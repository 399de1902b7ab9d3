"""Plain text in the plan: no conversations, rows of the file itself, and the columns that each network takes."""

from __future__ import annotations

import shlex

import pytest
import yaml

from sft_tui.core.facts import TextFacts
from sft_tui.launch.plan.steps import build_plan

INPUTS, LABELLED = ("input_ids",), ("input_ids", "labels")


def text(columns=INPUTS, clean="none", **more):
    return {"text": TextFacts(clean, columns, **more)}


def yaml_of(plan, step):
    return yaml.safe_load(next(file.text for file in plan.files if file.path.endswith(f"/{step}.yaml")))


def test_each_part_is_made_of_the_text_itself(make_profile, make_facts):
    plan = build_plan(make_profile(dataset__train_path="/data/a.txt"), make_facts(**text()))
    assert plan.step("convert-alpaca").not_needed == "plain text becomes rows as it is"
    common = (
        "/env/bin/python /pkg/sft_tui preprocess --dataset_type wiki --input_glob /data/a.txt --model llama"
        " --clean none --model_file /models/llama/tokenizer.model --seq_length 128 --purpose {0}"
        " --output_file /w/data/{0}.mindrecord --vocab_size 1024 --force --eval_fraction 0.05"
    )
    for part in ("train", "eval"):
        step = plan.step(f"preprocess-{part}")
        assert shlex.join(step.argv) == common.format(part) and not step.not_needed
        assert step.inputs == ("/data/a.txt", "/models/llama/tokenizer.model")
    assert "--run_mode finetune" in shlex.join(plan.step("train").argv)


def test_a_held_out_file_is_read_as_a_whole_and_so_is_the_other(make_profile, make_facts):
    profile = make_profile(dataset__eval_path="/data/b.txt", dataset__keep_all=True, dataset__train_path="/data/a.txt")
    plan = build_plan(profile, make_facts(**text(LABELLED)))
    assert not [step.id for step in plan.steps if step.id == "convert-alpaca-eval"]
    for part, path in (("train", "/data/a.txt"), ("eval", "/data/b.txt")):
        argv = plan.step(f"preprocess-{part}").argv
        assert argv[argv.index("--input_glob") + 1] == path
        assert "--eval_fraction" not in argv and "--keep_all" in argv


def test_without_evaluation_all_of_the_text_is_trained_on(make_profile, make_facts):
    plan = build_plan(make_profile(training__evaluate=False), make_facts(eval_records=0, **text()))
    assert "--eval_fraction" not in plan.step("preprocess-train").argv
    assert plan.step("preprocess-eval").not_needed and plan.step("evaluate-after").not_needed


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        (INPUTS, ["input_ids"]),
        (LABELLED, ["input_ids", "labels"]),
        (("input_ids", "attention_mask", "labels"), ["input_ids", "labels"]),
    ],
    ids=["llama", "labelled", "gpt2"],
)
def test_the_network_is_given_what_the_rows_have_and_it_takes(make_profile, make_facts, columns, wanted):
    plan = build_plan(make_profile(), make_facts(**text(columns)))
    assert yaml_of(plan, "train")["train_dataset"]["input_columns"] == wanted
    assert yaml_of(plan, "evaluate-before")["eval_dataset"]["input_columns"] == wanted


def test_on_the_direct_route_labels_come_shifted(make_profile, make_direct_facts):
    plan = build_plan(make_profile(model__family="qwen3"), make_direct_facts(**text(LABELLED, shifted=True)))
    words = shlex.join(plan.step("preprocess-train").argv)
    assert "--model qwen3 " in words and "--tokenizer /models/llama --labels shifted" in words
    assert "--template" not in words and "--pack" not in words
    assert yaml_of(plan, "train")["train_dataset"]["input_columns"] == ["input_ids", "labels"]


def test_a_yaml_stays_as_it_is_when_what_was_foretold_has_been_counted(make_profile, make_facts):
    foretold = make_facts(train_records=1000, **text(counted=False))
    made = make_facts(train_records=1000, made_rows=900, **text(counted=False))
    before, after = (build_plan(make_profile(), facts) for facts in (foretold, made))
    assert [file.text for file in before.files] == [file.text for file in after.files]
    assert before.step("train").total_steps == 0, "not known"
    assert after.step("train").total_steps == 900
    assert (foretold.foretold, made.foretold, made.rows_in_words) == (True, False, "900 rows of text")
