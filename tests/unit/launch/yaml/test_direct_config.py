"""The YAML of the direct route: MindFormers' own, with what has to be changed."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from sft_tui.launch.plan.steps import build_plan


@pytest.fixture
def texts(make_profile, make_direct_facts):
    """YAML of each step, parsed, for a profile with those changes."""

    def build(version="1.7.0", **changes):
        facts = make_direct_facts(version)
        plan = build_plan(make_profile(model__family="qwen3", **changes), facts)
        return {file.path.rpartition("/")[2][:-5]: yaml.safe_load(file.text) for file in plan.files}

    return build


def test_the_data_is_a_mindrecord_and_nothing_is_taken_from_elsewhere(texts):
    train = texts(training__batch_size=3)["train"]
    data = train["train_dataset"]
    loader = {"type": "MindDataset", "dataset_dir": "/w/data/train.mindrecord", "shuffle": True}
    assert data["data_loader"] == loader
    assert data["input_columns"] == data["construct_args_key"] == ["input_ids", "labels"]
    assert (data["batch_size"], data["num_parallel_workers"], data["seed"]) == (3, 1, 1234)
    assert train["train_dataset_task"]["dataset_config"] == data


def test_the_model_comes_from_its_folder(texts):
    train = texts()["train"]
    assert train["pretrained_model_dir"] == train["load_checkpoint"] == "/models/llama"
    assert (train["use_legacy"], train["load_ckpt_format"]) == (False, "safetensors")
    assert train["model"]["model_config"]["seq_length"] == 128


def test_cpu_has_none_of_what_only_npus_have(texts):
    for config in texts(nodes__worker_num=2).values():
        assert config["context"] == {"device_target": "CPU"}
        assert config["parallel"]["parallel_mode"] == 0 and "dataset_strategy" not in config["parallel"]
        assert config["model"]["model_config"]["compute_dtype"] == "float32"
    train = texts(nodes__worker_num=2)["train"]
    assert (train["use_parallel"], train["auto_trans_ckpt"]) == (True, False)
    assert train["parallel_config"] | {"gradient_aggregation_group": 0} == {
        "data_parallel": 2, "model_parallel": 1, "pipeline_stage": 1, "micro_batch_num": 1, "use_seq_parallel": False,
        "gradient_aggregation_group": 0,
    }  # fmt: skip
    assert train["runner_wrapper"]["type"] == "CpuTrainOneStepCell"


def test_npus_keep_mindformers_own_training_cell(texts):
    changes = {"environment__device_target": "Ascend", "nodes__worker_num": 8, "training__model_parallel": 2}
    train = texts(**changes, training__pipeline_stage=1, environment__device_memory_gb=64)["train"]
    assert train["runner_wrapper"]["type"] == "MFTrainOneStepCell"
    assert (train["context"]["max_device_memory"], train["parallel"]["parallel_mode"]) == ("58GB", 1)
    assert train["context"]["ascend_config"] == {"precision_mode": "must_keep_origin_dtype"}
    assert (train["parallel_config"]["data_parallel"], train["parallel_config"]["use_seq_parallel"]) == (4, True)
    assert train["model"]["model_config"]["compute_dtype"] == "bfloat16"
    assert (train["auto_trans_ckpt"], train["parallel"]["full_batch"]) == (True, True)


def test_checkpoints_are_saved_inside_the_run(texts):
    saves = [c for c in texts(training__batch_size=1)["train"]["callbacks"] if c["type"] == "CheckpointMonitor"]
    assert [(c["save_checkpoint_steps"], c["prefix"], c["checkpoint_format"]) for c in saves] == [
        (24, "sft", "safetensors")
    ]
    assert saves[0]["save_network_params"] is True


def test_held_out_data_is_read_once_in_order_and_nothing_is_learned_or_saved(texts):
    for name in ("evaluate-before", "evaluate-after"):
        config = texts(training__epochs=5, training__batch_size=7, nodes__worker_num=2)[name]
        data = config["train_dataset"]
        assert (data["data_loader"]["dataset_dir"], data["data_loader"]["shuffle"]) == (
            "/w/data/eval.mindrecord",
            False,
        )
        assert (config["runner_config"]["epochs"], data["batch_size"]) == (1, 1)
        assert config["runner_config"]["batch_size"] == 1
        assert config["runner_wrapper"] == {"type": "HeldOutCell"}
        assert {c["type"] for c in config["callbacks"]} == {"MFLossMonitor", "HeldOutLoss"}
        assert (config["calculate_per_token_loss"], config["use_parallel"]) == (True, False)
        assert config["model"]["model_config"]["hidden_dropout"] == 0.0


@pytest.mark.parametrize(("version", "key"), [("1.7.0", "residual_dtype"), ("1.9.0", "fp32_residual_connection")])
def test_a_key_that_a_version_does_not_know_is_given_by_its_name_there(texts, version, key):
    config = texts(version)["train"]["model"]["model_config"]
    assert {"residual_dtype", "fp32_residual_connection"} & set(config) == {key}


def test_what_was_changed_is_shown(make_profile, make_direct_facts):
    plan = build_plan(make_profile(model__family="qwen3"), make_direct_facts())
    train = next(file for file in plan.files if file.path.endswith("/train.yaml"))
    assert train.based_on == "/site/finetune_qwen3.yaml"
    assert "-        n: 2000" in train.changes and '+pretrained_model_dir: "/models/llama"' in train.changes
    assert "MFLossMonitor  # Prints training progress information" in train.text


def test_adapters_are_trained_alone_and_measured_without_dropout(texts):
    made = texts(training__method="lora", training__lora_rank=4, training__lora_dropout=0.1)
    adapters = made["train"]["model"]["model_config"]["pet_config"]
    assert adapters == {
        "pet_type": "lora", "lora_rank": 4, "lora_alpha": 16, "lora_dropout": 0.1,
        "target_modules": ".*linear_qkv|.*linear_proj", "freeze_include": ["*"], "freeze_exclude": ["*lora*"],
    }  # fmt: skip
    after = made["evaluate-after"]["model"]["model_config"]["pet_config"]
    assert after == {**adapters, "lora_dropout": 0.0}
    assert "pet_config" not in made["evaluate-before"]["model"]["model_config"]
    assert "pet_config" not in texts()["train"]["model"]["model_config"]


def test_what_the_folder_says_of_the_model_is_not_said_again(make_profile, make_direct_facts):
    """A file for another size of the model: its numbers would take the place of those of config.json."""
    facts = make_direct_facts()
    other = "    hidden_size: 5120\n    num_hidden_layers: 64\n    params_dtype: float32\n"
    facts = dataclasses.replace(facts, base_yaml=facts.base_yaml.replace("    qkv_concat", other + "    qkv_concat"))
    plan = build_plan(make_profile(model__family="qwen3"), facts)
    train = next(file for file in plan.files if file.path.endswith("/train.yaml"))
    config = yaml.safe_load(train.text)["model"]["model_config"]
    assert "hidden_size" not in config and "num_hidden_layers" not in config and config["params_dtype"] == "float32"
    assert "-    hidden_size: 5120" in train.changes


def test_experts_are_shared_out_and_weigh_as_in_the_folder(make_profile, make_direct_facts):
    facts = make_direct_facts()
    model = dataclasses.replace(facts.model, family="qwen3_moe", num_experts=8, moe_intermediate_size=16)
    theirs = "    expert_num: 128\n    norm_topk_prob: False\n    moe_router_topk_scaling_factor: 1.5\n    qkv_concat"
    facts = dataclasses.replace(facts, model=model, base_yaml=facts.base_yaml.replace("    qkv_concat", theirs))
    changes = {"environment__device_target": "Ascend", "nodes__worker_num": 8, "training__expert_parallel": 4}
    plan = build_plan(make_profile(model__family="qwen3_moe", **changes), facts)
    train = yaml.safe_load(next(file.text for file in plan.files if file.path.endswith("/train.yaml")))
    config = train["model"]["model_config"]
    assert not {"expert_num", "norm_topk_prob", "moe_router_topk_scaling_factor"} & set(config)
    assert config["routed_scaling_factor"] == 1.0
    assert (train["parallel_config"]["data_parallel"], train["parallel_config"]["expert_parallel"]) == (8, 4)
    assert "qwen3_moe" in plan.step("export").argv


def test_a_config_in_mindformers_words_takes_the_place_of_the_folders(make_profile, make_direct_facts):
    facts = make_direct_facts(config_text='{"rope_theta": 1}\n')
    plan = build_plan(make_profile(model__family="qwen3"), facts)
    files = {file.path: file.text for file in plan.files}
    [folder] = {yaml.safe_load(text)["pretrained_model_dir"] for path, text in files.items() if path.endswith(".yaml")}
    assert files[f"{folder}/config.json"] == '{"rope_theta": 1}\n'
    train = yaml.safe_load(next(text for path, text in files.items() if path.endswith("train.yaml")))
    assert train["load_checkpoint"] == "/models/llama", "the weights are those of the model"
