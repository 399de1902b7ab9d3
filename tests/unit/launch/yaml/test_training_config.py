"""The YAML: MindFormers' own keys, CPU stand-ins on CPU alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sft_tui.launch.plan.steps import build_plan
from sft_tui.launch.yaml.run_spec import RunSpec, save_steps, training_steps
from sft_tui.launch.yaml.training_config import build_training_yaml


@pytest.fixture
def build(make_profile, make_facts):
    def build(run_mode="finetune", facts=None, **changes):
        run = RunSpec(
            make_profile(**changes), facts or make_facts(), run_mode, "/w/runs/run1", "/w/weights/llama.ckpt",
            "/w/data/x.mindrecord",
        )  # fmt: skip
        text = build_training_yaml(run)
        return yaml.safe_load(text)

    return build


def test_the_model_is_that_of_config_json(build):
    model = build()["model"]["model_config"]
    assert model["hidden_size"] == 64 and model["num_layers"] == 2 and model["n_kv_heads"] == 2
    assert model["vocab_size"] == 1024 and model["intermediate_size"] == 128 and model["theta"] == 500000.0
    assert model["seq_length"] == 128 and model["bos_token_id"] == 1 and model["eos_token_id"] == 2
    assert model["pad_token_id"] == 0 and model["ignore_token_id"] == -100


def test_cpu_stand_ins_are_for_cpu_alone(build):
    cpu, npu = build(), build(environment__device_target="Ascend")
    assert cpu["runner_wrapper"]["auto_register"] == "train_one_step.CpuTrainOneStepCell"
    assert cpu["runner_wrapper"]["type"] == "CpuTrainOneStepCell"
    assert "auto_register" not in npu["runner_wrapper"] and npu["runner_wrapper"]["type"] == "MFTrainOneStepCell"
    for key, on_cpu in (("use_flash_attention", False), ("fused_rms_norm", False), ("use_rope_slice", True)):
        assert cpu["model"]["model_config"][key] is on_cpu
    assert npu["model"]["model_config"]["use_flash_attention"] is True
    assert not {"fused_rms_norm", "use_rope_slice"} & set(npu["model"]["model_config"])
    assert cpu["model"]["model_config"]["compute_dtype"] == "float32"
    assert npu["model"]["model_config"]["compute_dtype"] == "bfloat16"
    assert (cpu["context"]["device_target"], npu["context"]["device_target"]) == ("CPU", "Ascend")
    assert "max_device_memory" not in cpu["context"]


@pytest.mark.parametrize(
    "mindformers, expected",
    [
        ("1.2.0", {"type": "FP32StateAdamWeightDecay", "beta1": 0.9, "beta2": 0.999}),
        ("1.6.0", {"type": "AdamW", "betas": [0.9, 0.95]}),
        ("1.7.0", {"type": "AdamW", "betas": [0.9, 0.95]}),
    ],
)
def test_the_optimizer_of_each_version(build, make_facts, mindformers, expected):
    optimizer = build(facts=make_facts(mindformers), training__learning_rate=2e-4)["optimizer"]
    assert {k: optimizer[k] for k in optimizer if k in ("type", "beta1", "beta2", "betas")} == expected
    assert optimizer["learning_rate"] == 2e-4  # a float, not the text "2e-4" that YAML 1.1 makes of it


def test_without_a_known_release_no_yaml(build, make_facts):
    with pytest.raises(ValueError, match="release"):
        build(facts=make_facts("9.9"))


def test_data_parallel_on_cpu_and_evaluation_alone(build):
    train, evaluation = build(nodes__worker_num=2), build("eval", nodes__worker_num=2)
    assert train["use_parallel"] is True and train["auto_trans_ckpt"] is False
    assert train["parallel"]["parallel_mode"] == 0 and train["parallel"]["full_batch"] is False
    assert train["parallel"]["gradients_mean"] is True and train["parallel"]["enable_parallel_optimizer"] is False
    assert train["parallel_config"]["data_parallel"] == 2
    assert evaluation["use_parallel"] is False


def test_several_npus_train_and_evaluate_together(build):
    for mode in ("finetune", "eval"):
        config = build(mode, nodes__worker_num=8, environment__device_target="Ascend")
        assert config["use_parallel"] is True
        assert config["parallel"]["parallel_mode"] == 1
    assert build("eval", nodes__worker_num=8, environment__device_target="Ascend")["eval_dataset"]["drop_remainder"]


def test_a_checkpoint_in_slices_comes_with_how_it_was_sliced(make_profile, make_facts):
    profile = make_profile(nodes__worker_num=8, environment__device_target="Ascend")
    files = {Path(file.path).stem: yaml.safe_load(file.text) for file in build_plan(profile, make_facts()).files}
    assert files["evaluate-after"]["src_strategy_path_or_dir"] == files["train"]["output_dir"] + "/strategy"
    assert files["evaluate-before"]["src_strategy_path_or_dir"] == files["train"]["src_strategy_path_or_dir"] == ""


def test_training_and_evaluation_read_their_own_data(build):
    train, evaluation = build(training__batch_size=4), build("eval", training__batch_size=4)
    assert train["train_dataset"]["data_loader"]["dataset_dir"] == "/w/data/x.mindrecord"
    assert train["train_dataset"]["batch_size"] == 4 and train["train_dataset"]["data_loader"]["shuffle"] is True
    assert "eval_dataset" not in train and "train_dataset" not in evaluation
    # MindFormers takes the batch of runner_config for evaluation as well
    assert (train["runner_config"]["batch_size"], evaluation["runner_config"]["batch_size"]) == (4, 1)
    assert evaluation["eval_dataset"]["batch_size"] == 1 and evaluation["eval_dataset"]["drop_remainder"] is False
    assert evaluation["callbacks"] == []


def test_single_steps_stay_visible(build):
    assert build()["runner_config"]["sink_mode"] is False


def test_nothing_in_the_yaml_is_an_alias_or_a_python_object(make_profile, make_facts):
    run = RunSpec(make_profile(), make_facts(), output_dir="/w", load_checkpoint="/c", mindrecord="/中文/m")
    text = build_training_yaml(run)
    assert "!!" not in text and "&id" not in text
    assert "/中文/m" in text


@pytest.mark.parametrize(
    "changes, steps, every",
    [
        ({}, 95, 24),
        ({"training__batch_size": 4}, 23, 6),
        ({"training__batch_size": 4, "nodes__worker_num": 2, "training__epochs": 3}, 36, 9),
        ({"training__save_checkpoint_steps": 10}, 95, 10),
        ({"training__batch_size": 100}, 0, 1),
    ],
)
def test_steps_of_the_run_and_between_checkpoints(make_profile, make_facts, build, changes, steps, every):
    profile, facts = make_profile(**changes), make_facts()
    assert (training_steps(profile, facts), save_steps(profile, facts)) == (steps, every)
    monitor = build(**changes)["callbacks"][1]
    assert (monitor["type"], monitor["save_checkpoint_steps"]) == ("CheckpointMonitor", every)


def test_packed_rows_make_the_steps(make_profile, make_facts):
    profile = make_profile(training__batch_size=4)
    assert training_steps(profile, make_facts(train_records=400)) == 100
    assert training_steps(profile, make_facts(train_records=400, packed_rows=42)) == 10
