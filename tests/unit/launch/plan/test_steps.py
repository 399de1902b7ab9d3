"""The plan: pure, complete, and exactly what runs."""

from __future__ import annotations

import builtins
import os
import pathlib
import shlex
import threading

import pytest
import yaml

from sft_tui.launch.plan.steps import build_plan
from sft_tui.launch.plan.work_paths import work_paths

ALL = [
    "inspect", "convert-weight", "convert-alpaca", "preprocess-train", "preprocess-eval",
    "evaluate-before", "train", "evaluate-after", "summary",
]  # fmt: skip


def test_one_worker_on_cpu(make_profile, make_facts):
    plan = build_plan(make_profile(), make_facts())
    assert [s.id for s in plan.steps] == ALL
    commands = {s.id: shlex.join(s.argv) for s in plan.steps}
    assert commands == {
        "inspect": "/own/sft-tui inspect /models/llama",
        "convert-weight": "/own/sft-tui convert-weight --model llama --input_path /models/llama "
        "--output_path /w/weights/llama.ckpt --dtype fp32 --force --verify",
        "convert-alpaca": "/own/sft-tui convert-alpaca --data_path /data/train.json "
        "--output_path /w/data/train_conversation.json "
        "--eval_output_path /w/data/eval_conversation.json --eval_fraction 0.05",
        "preprocess-train": "/env/bin/python /pkg/sft_tui preprocess --dataset_type qa "
        "--input_glob /w/data/train_conversation.json --model_file /models/llama/tokenizer.model "
        "--seq_length 128 --purpose train --output_file /w/data/train.mindrecord --template vicuna_v1.1 "
        "--vocab_size 1024 --force",
        "preprocess-eval": "/env/bin/python /pkg/sft_tui preprocess --dataset_type qa "
        "--input_glob /w/data/eval_conversation.json --model_file /models/llama/tokenizer.model "
        "--seq_length 128 --purpose eval --output_file /w/data/eval.mindrecord --template vicuna_v1.1 "
        "--vocab_size 1024 --force",
        "evaluate-before": "/env/bin/python /pkg/sft_tui/launch/runtime/runner.py "
        "--config /w/runs/run1/evaluate-before.yaml --run_mode eval --register_path /pkg/sft_tui/launch/runtime/cpu",
        "train": "/env/bin/python /pkg/sft_tui/launch/runtime/runner.py --config /w/runs/run1/train.yaml "
        "--run_mode finetune --register_path /pkg/sft_tui/launch/runtime/cpu",
        "evaluate-after": "/env/bin/python /pkg/sft_tui/launch/runtime/runner.py "
        "--config /w/runs/run1/evaluate-after.yaml --run_mode eval --register_path /pkg/sft_tui/launch/runtime/cpu",
        "summary": "/own/sft-tui summary /w/runs/run1",
    }
    train = plan.step("train")
    assert (train.env, train.search_paths) == ({"LOG_MF_PATH": "/w/runs/run1/log/train"}, {"PATH": "/env/bin"})
    assert train.training_log == ""
    # MindFormers leaves files where it runs
    in_run = {"evaluate-before", "train", "evaluate-after"}
    assert {s.id: s.cwd for s in plan.steps} == {i: "/w/runs/run1" if i in in_run else "/w" for i in ALL}


def test_two_workers_on_cpu_train_with_msrun_and_evaluate_alone(make_profile, make_facts):
    plan = build_plan(make_profile(nodes__worker_num=2, nodes__master_port=8200), make_facts())
    train = plan.step("train")
    assert train.argv[:8] == (
        "/env/bin/msrun", "--worker_num=2", "--local_worker_num=2", "--master_addr=127.0.0.1", "--master_port=8200",
        "--log_dir=/w/runs/run1/msrun_log/train", "--join=True", "--cluster_time_out=600",
    )  # fmt: skip
    assert train.argv[8:10] == ("/pkg/sft_tui/launch/runtime/runner.py", "--config")
    assert train.search_paths["PATH"] == "/env/bin"  # msrun calls plain `python`
    assert train.training_log == "/w/runs/run1/msrun_log/train/worker_1.log"
    assert plan.step("evaluate-before").argv[0] == "/env/bin/python"


def test_two_npus_evaluate_with_msrun_and_the_yaml_agrees(make_profile, make_facts):
    plan = build_plan(make_profile(nodes__worker_num=2, environment__device_target="Ascend"), make_facts())
    for step_id in ("evaluate-before", "train", "evaluate-after"):
        assert plan.step(step_id).argv[0] == "/env/bin/msrun"
        assert "--register_path" not in plan.step(step_id).argv
    assert [yaml.safe_load(f.text)["use_parallel"] for f in plan.files] == [True, True, True]


def test_a_mindformers_home_is_used_by_its_own_script(make_profile, make_facts):
    facts = make_facts(mindformers_home="/mf", run_mindformer="/mf/run_mindformer.py")
    train = build_plan(make_profile(environment__device_target="Ascend"), facts).step("train")
    assert train.argv[:2] == ("/env/bin/python", "/mf/run_mindformer.py")
    # on CPU the stand-ins have to be there before MindFormers is imported
    assert build_plan(make_profile(), facts).step("train").argv[1] == "/pkg/sft_tui/launch/runtime/runner.py"
    assert train.search_paths["PYTHONPATH"] == "/mf"


@pytest.mark.parametrize("changes, records", [({"training__evaluate": False}, 5), ({}, 0)])
def test_without_evaluation_its_steps_are_not_needed_and_say_why(make_profile, make_facts, changes, records):
    plan = build_plan(make_profile(**changes), make_facts(eval_records=records))
    assert [s.id for s in plan.steps] == ALL
    skipped = {s.id: s.not_needed for s in plan.steps if s.not_needed}
    assert set(skipped) == {"preprocess-eval", "evaluate-before", "evaluate-after"}
    assert all("no held-out data" in reason for reason in skipped.values())
    assert [f.path for f in plan.files] == ["/w/runs/run1/train.yaml"]
    written = {o.path for s in plan.steps if not s.not_needed for o in s.outputs}
    assert "/w/runs/run1/log/evaluate-after" not in written
    assert all("evaluate" not in path for path in plan.step("summary").inputs)


def test_a_held_out_file_is_converted_by_itself_and_nothing_is_cut_from_the_training_file(make_profile, make_facts):
    profile = make_profile(dataset__eval_path="/data/eval.json")
    plan = build_plan(profile, make_facts())
    assert [s.id for s in plan.steps] == [*ALL[:3], "convert-alpaca-eval", *ALL[3:]]
    assert "--eval_fraction" not in plan.step("convert-alpaca").argv
    held_out = plan.step("convert-alpaca-eval")
    assert held_out.inputs == ("/data/eval.json",)
    assert held_out.outputs[0].path == "/w/data/eval_conversation.json"
    plan = build_plan(make_profile(dataset__eval_path="/data/eval.json", training__evaluate=False), make_facts())
    assert plan.step("convert-alpaca-eval").not_needed


def test_the_direct_route_goes_from_the_folder_to_a_folder(make_profile, make_direct_facts):
    plan = build_plan(make_profile(model__family="qwen3"), make_direct_facts())
    assert [s.id for s in plan.steps] == [*ALL[:-1], "export", ALL[-1]]
    assert "as it is" in plan.step("convert-weight").not_needed
    assert not any(s.not_needed for s in plan.steps if s.id != "convert-weight")
    words = " ".join(plan.step("preprocess-train").argv)
    assert "--tokenizer /models/llama" in words and "--template chat" in words and "--model_file" not in words
    for step_id, reads in (("evaluate-before", "/models/llama"), ("evaluate-after", "/w/runs/run1/checkpoint_network")):
        step = plan.step(step_id)
        assert "/pkg/sft_tui/launch/runtime/runner.py" in step.argv and "held_out" in step.argv and reads in step.inputs
    assert "/models/llama" in plan.step("train").inputs
    packed = build_plan(make_profile(model__family="qwen3", dataset__pack=True), make_direct_facts())
    assert "--pack" in packed.step("preprocess-train").argv and "--pack" not in packed.step("preprocess-eval").argv
    export = plan.step("export")
    assert export.inputs == ("/w/runs/run1/checkpoint_network", "/models/llama")
    assert export.outputs[0].path == "/w/runs/run1/hf" and "--lora_scaling" not in export.argv
    adapted = build_plan(make_profile(model__family="qwen3", training__method="lora"), make_direct_facts())
    assert adapted.step("export").argv[-2:] == ("--lora_scaling", "2.0")


@pytest.mark.parametrize("version", ["1.7.0", "1.9.0", "2.1.0"])
def test_a_training_of_the_direct_route_can_go_on_and_saves_when_asked(make_profile, make_direct_facts, version):
    plan = build_plan(make_profile(model__family="qwen3", training__epochs=2), make_direct_facts(version))
    train, asks = plan.step("train"), "/w/runs/run1/graceful_exit.json"
    assert (train.checkpoint_dir, train.graceful_exit) == ("/w/runs/run1/checkpoint", asks)
    assert train.total_steps == 2 * (95 // make_profile().training.batch_size)
    config = yaml.safe_load(next(file.text for file in plan.files if file.path.endswith("/train.yaml")))
    asked = [callback["config_file"] for callback in config["callbacks"] if callback["type"] == "OnRequestExit"]
    assert (asked, config["use_graceful_exit"]) == ([asks], True)


@pytest.mark.parametrize(("target", "reads"), [("CPU", "checkpoint_network/rank_0"), ("Ascend", "checkpoint_network")])
def test_the_export_reads_what_the_evaluation_reads(make_profile, make_direct_facts, target, reads):
    """Of two workers on CPU each has all, and rank 0's is evaluated; two NPUs may have slices."""
    changes = {"environment__device_target": target, "nodes__worker_num": 2}
    export = build_plan(make_profile(model__family="qwen3", **changes), make_direct_facts()).step("export")
    assert export.argv[export.argv.index("--input_path") + 1] == f"/w/runs/run1/{reads}"


def test_on_the_direct_route_a_source_folders_own_program_is_not_used(make_profile, make_direct_facts):
    facts = make_direct_facts(mindformers_home="/mf", run_mindformer="/mf/run_mindformer.py")
    step = build_plan(make_profile(model__family="qwen3"), facts).step("train")
    assert "/pkg/sft_tui/launch/runtime/runner.py" in step.argv and step.search_paths["PYTHONPATH"] == "/mf"


def test_every_input_that_is_ours_is_made_by_an_earlier_step(make_profile, make_facts):
    plan = build_plan(make_profile(), make_facts())
    made = {f.path for f in plan.files}
    for step in plan.steps:
        for path in step.inputs:
            assert path in made or not path.startswith("/w/"), f"{step.id} reads {path}, which nothing makes"
        made |= {o.path for o in step.outputs}


def test_a_new_training_makes_a_new_summary(make_profile, make_facts):
    plan = build_plan(make_profile(), make_facts())
    trained = {o.path for o in plan.step("train").outputs} | {o.path for o in plan.step("evaluate-after").outputs}
    assert {"/w/runs/run1/checkpoint_network", "/w/runs/run1/log/evaluate-after"} <= trained
    assert {"/w/runs/run1/checkpoint_network", "/w/runs/run1/log/evaluate-after"} <= set(plan.step("summary").inputs)


def test_a_rehearsal_has_to_gain(make_profile, make_facts):
    plan = build_plan(make_profile(rehearsal=True), make_facts())
    assert plan.rehearsal
    assert plan.step("summary").argv[-1] == "--require-gain"


def test_building_is_pure(make_profile, make_facts, monkeypatch):
    profile, facts = make_profile(), make_facts()
    builder = threading.get_ident()  # threads of libraries may go on with what they do

    def forbidden(real):
        def look(*args, **kwargs):
            assert threading.get_ident() != builder, "a plan is built without a look at the disk"
            return real(*args, **kwargs)

        return look

    with monkeypatch.context() as patch:
        for owner, name in ((builtins, "open"), (os, "stat"), (os, "open"), (os, "listdir"), (pathlib.Path, "stat")):
            patch.setattr(owner, name, forbidden(getattr(owner, name)))
        plans = build_plan(profile, facts), build_plan(profile, facts)
    assert plans[0] == plans[1]


def test_paths_are_below_the_working_folder_and_the_run(make_profile):
    paths = work_paths(make_profile(training__run_name="second"))
    assert paths.finetuned == "/w/runs/second/checkpoint_network"
    assert paths.summary == "/w/runs/second/summary.json"
    assert paths.ckpt == "/w/weights/llama.ckpt"


def test_a_step_of_training_has_so_many_tokens(make_profile, make_facts):
    """MindFormers: batch_size x data_parallel x (micro batches of a pipeline, else accumulation) x seq_length."""

    def tokens(**changes):
        return build_plan(make_profile(**changes), make_facts()).step("train").tokens_per_step

    assert tokens(training__batch_size=4) == 4 * 128
    assert tokens(training__batch_size=4, nodes__worker_num=2) == 2 * 4 * 128
    npus = {"environment__device_target": "Ascend", "nodes__worker_num": 8, "training__batch_size": 2}
    assert tokens(**npus, training__gradient_accumulation_steps=3) == 8 * 2 * 3 * 128
    assert tokens(**npus, training__pipeline_stage=2, training__micro_batch_num=4) == 4 * 2 * 4 * 128
    assert build_plan(make_profile(), make_facts()).step("evaluate-after").tokens_per_step == 0


def test_of_a_pipeline_the_last_rank_tells_the_loss(make_profile, make_facts):
    profile = make_profile(
        environment__device_target="Ascend", nodes__worker_num=8, training__pipeline_stage=4,
        training__micro_batch_num=4,
    )  # fmt: skip
    assert build_plan(profile, make_facts()).step("train").training_log == "/w/runs/run1/msrun_log/train/worker_7.log"
