"""What may stand in the way of a training, told with its field before it starts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.checks.environment_and_data import needed_bytes
from sft_tui.checks.training import check_direct, check_made, check_parallel, installed_base, read_base
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import default_data
from sft_tui.core.profile_problems import validate_profile
from sft_tui.dataset.read.inspect import DataReport
from sft_tui.launch.yaml.run_spec import training_layout, training_schedule
from sft_tui.stack.releases import find_release

LLAMA2_7B = ModelConfig(
    family="llama", hidden_size=4096, num_layers=32, num_heads=32, num_kv_heads=32, intermediate_size=11008,
    vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None,
    tied=False, torch_dtype="float16", bos_token_id=1, eos_token_id=2, pad_token_id=None, architectures=(),
)  # fmt: skip


def profile_of(device="Ascend", workers=8, **training):
    data = default_data("p", work_dir="/w", python="/env/bin/python", device_target=device)
    data["model"]["hf_dir"] = "/models/llama"
    data["dataset"].update(train_path="/data/train.json", seq_length=4096)
    data["nodes"]["worker_num"] = workers
    data["training"].update(training)
    profile, problems = validate_profile(data)
    assert profile is not None and not problems
    return profile


def facts_of(**changes):
    environment = EnvironmentFacts(python="/env/bin/python", mindformers_version="1.7.0", release=find_release("1.7.0"))
    facts = Facts(
        own_command=("sft-tui",), training_command=("python",), package_dir="/pkg", environment=environment,
        model=LLAMA2_7B, tokenizer_model="/t", train_records=52000, eval_records=1000,
    )  # fmt: skip
    return dataclasses.replace(facts, **changes)


def found(profile, facts=None):
    return {p.field: p for p in check_parallel(profile, facts or facts_of())}


def test_llama2_7b_on_eight_npus_has_no_problem():
    assert found(profile_of()) == {}


@pytest.mark.parametrize(
    ("workers", "training", "model", "field", "words"),
    [
        (8, {"model_parallel": 3}, {}, "nodes.worker_num", "8 workers cannot be shared out"),
        (8, {"model_parallel": 4, "pipeline_stage": 4}, {}, "nodes.worker_num", "= 16 has to divide them"),
        (8, {"model_parallel": 8}, {"num_kv_heads": 4}, "training.model_parallel", "4 key/value heads"),
        (8, {"model_parallel": 8}, {"num_heads": 36, "num_kv_heads": 36}, "training.model_parallel", "attention heads"),
        (8, {"model_parallel": 8}, {"vocab_size": 32001}, "training.model_parallel", "32001 pieces"),
        (8, {"pipeline_stage": 8}, {"num_layers": 30}, "training.pipeline_stage", "30 layers"),
        (8, {"pipeline_stage": 4, "micro_batch_num": 2}, {}, "training.micro_batch_num", "2 micro batches"),
        (8, {"pipeline_stage": 4, "gradient_accumulation_steps": 2}, {}, "training.gradient_accumulation_steps", "1 "),
        (1, {"gradient_accumulation_steps": 2}, {}, "training.gradient_accumulation_steps", "one worker alone"),
        (8, {"sink_size": 7000}, {}, "training.sink_size", "6500 steps"),
        (8, {"batch_size": 6501}, {}, "training.batch_size", "do not fill one batch of 52008"),
        (8, {"save_checkpoint_steps": 6501}, {}, "training.save_checkpoint_steps", "6500 steps"),
        (8, {"method": "lora", "lora_targets": ".*("}, {}, "training.lora_targets", "no pattern"),
        (8, {"method": "lora", "lora_targets": ".*"}, {}, "training.lora_targets", "the block model"),
        (8, {"method": "lora", "lora_targets": "query"}, {}, "training.lora_targets", "no matrix"),
        (8, {"recompute": "off", "batch_size": 2}, {}, "training.recompute", "are needed on a device"),
        (8, {"parallel_optimizer": "off"}, {}, "training.parallel_optimizer", "optimizer alone"),
        (1, {}, {}, "training.method", "are needed on a device"),
    ],
)  # fmt: skip
def test_each_problem_has_its_field_and_what_to_do(workers, training, model, field, words):
    facts = facts_of(model=dataclasses.replace(LLAMA2_7B, **model))
    problem = found(profile_of(workers=workers, **training), facts)[field]
    assert words in problem.message
    assert problem.hint.endswith((".", ")."))
    assert problem.severity == ("warning" if field == "training.save_checkpoint_steps" else "error")


def test_hints_name_a_size_that_works():
    facts = facts_of(model=dataclasses.replace(LLAMA2_7B, num_kv_heads=4))
    assert found(profile_of(model_parallel=8), facts)["training.model_parallel"].hint == "Use 4, for example."
    assert found(profile_of(workers=7, model_parallel=2))["nodes.worker_num"].hint.startswith("Use 6 workers")


def test_memory_names_the_nearest_change_and_what_it_takes_then():
    problem = found(profile_of(recompute="off", batch_size=2))["training.recompute"]
    assert problem.hint.startswith("Nearest change: switch recompute on (")
    # the profile's own size of the device counts before what is found, and that before MindFormers' usual 64
    problem = found(profile_of(), facts_of(device_memory_gb=24.0))["training.model_parallel"]
    assert problem.severity == "error" and "its pool holds 21" in problem.message
    small = profile_of()
    small = small.model_copy(update={"environment": small.environment.model_copy(update={"device_memory_gb": 64.0})})
    assert found(small, facts_of(device_memory_gb=24.0)) == {}


def test_a_tight_training_may_start_with_a_warning():
    problem = found(profile_of(recompute="off"), facts_of(device_memory_gb=56.0))["training.recompute"]
    assert problem.severity == "warning" and "may not fit" in problem.message


def test_on_cpu_there_is_data_parallelism_alone():
    problems = found(profile_of("CPU", 2, model_parallel=2, gradient_accumulation_steps=2, sink_size=2))
    assert {f: p.severity for f, p in problems.items()} == {
        "training.model_parallel": "error",
        "training.gradient_accumulation_steps": "error",
        "training.sink_size": "warning",
    }


def test_a_base_of_another_tree_is_warned_of(tmp_path):
    path = tmp_path / "finetune_x.yaml"
    path.write_text("model: {model_config: {}}\n")
    profile = profile_of(base_yaml=str(path))
    for home, severities in ((tmp_path, []), (tmp_path / "other", ["warning"])):
        environment = profile.environment.model_copy(update={"mindformers_home": str(home)})
        text, problems = read_base(profile.model_copy(update={"environment": environment}))
        assert text and [p.severity for p in problems] == severities


def test_several_npus_need_enough_held_out_records():
    problems = found(profile_of(pipeline_stage=2), facts_of(eval_records=7))
    assert "7 held-out records do not fill one batch of 8" in problems["dataset.eval_fraction"].message
    assert found(profile_of(pipeline_stage=2, evaluate=False), facts_of(eval_records=7)) == {}


def test_the_layout_of_the_base_yaml_holds_until_the_profile_says_otherwise():
    base = """
model: {model_config: {type: LlamaConfig}}
parallel_config: {data_parallel: 2, model_parallel: 4, pipeline_stage: 2, micro_batch_num: 16}
parallel: {enable_parallel_optimizer: False}
recompute_config: {recompute: False}
"""
    facts = facts_of(base_yaml=base)
    layout = training_layout(profile_of(workers=16), facts)
    assert (layout.data_parallel, layout.model_parallel, layout.pipeline_stage) == (2, 4, 2)
    assert (layout.micro_batch_num, layout.parallel_optimizer, layout.recompute) == (16, False, False)
    own = training_layout(profile_of(workers=16, pipeline_stage=1, recompute="on", parallel_optimizer="on"), facts)
    assert (own.data_parallel, own.micro_batch_num, own.accumulation) == (4, 1, 1)
    assert own.recompute and own.parallel_optimizer
    schedule = training_schedule(profile_of(workers=16), facts)
    assert schedule.steps == 52000 // (2 * 16)


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "line 1"), ("a: 1\n", "no model section"), ("- 1\n", "no model section")]
)
def test_a_base_that_cannot_be_used_is_told_with_its_place(tmp_path, text, words):
    path = tmp_path / "base.yaml"
    path.write_text(text)
    base, problems = read_base(profile_of(base_yaml=str(path)))
    assert base == "" and [p.field for p in problems] == ["training.base_yaml"]
    assert str(path) in problems[0].message and words in problems[0].message


def test_a_missing_base_names_one_that_is_there(tmp_path):
    folder = tmp_path / "configs" / "llama2"
    folder.mkdir(parents=True)
    (folder / "finetune_llama2_7b.yaml").write_text("model:\n  model_config:\n    type: LlamaConfig\n")
    (folder / "predict_llama2_7b.yaml").write_text("model:\n  model_config:\n    type: LlamaConfig\n")
    (folder / "finetune_other.yaml").write_text("model:\n  model_config:\n    type: ChatGLM2Config\n")
    profile = profile_of(base_yaml="/nowhere.yaml")
    environment = profile.environment.model_copy(update={"mindformers_home": str(tmp_path)})
    _, problems = read_base(profile.model_copy(update={"environment": environment}))
    assert "/nowhere.yaml" in problems[0].message
    assert problems[0].hint == f"{folder}/finetune_llama2_7b.yaml is one of 1 for this model."


def made(tmp_path, shapes, hf_dir="/models/llama", vocab=32000):
    profile = profile_of()
    environment = profile.environment.model_copy(update={"work_dir": str(tmp_path)})
    profile = profile.model_copy(update={"environment": environment})
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "llama.ckpt").write_text("w")
    manifest = {"hf_dir": hf_dir, "config": {"vocab_size": vocab}, "tensors": [{"dims": shape} for shape in shapes]}
    (tmp_path / "weights" / "llama.ckpt.json").write_text(json.dumps(manifest))
    return profile


def test_half_a_model_does_not_train(tmp_path):
    problems = check_made(made(tmp_path, [[10, 10]]), 200, facts_of())
    assert [p.severity for p in problems] == ["error"]
    assert "100 parameters, the model 200" in problems[0].message and "Remove" in problems[0].hint


def test_weights_of_another_model_are_converted_again(tmp_path):
    problems = check_made(made(tmp_path, [[10, 10]], hf_dir="/other", vocab=1024), 100, facts_of())
    assert [p.severity for p in problems] == ["warning"]
    assert "1024 embeddings" in problems[0].message


def test_whole_weights_are_no_problem(tmp_path):
    assert check_made(made(tmp_path, [[10, 10], [5]]), 105, facts_of()) == []


@pytest.mark.parametrize(
    ("training", "device", "copies"),
    [
        ({}, "Ascend", 4),  # weights, two moments, and the weights alone, in slices
        ({"parallel_optimizer": "off"}, "Ascend", 4 * 8),
        ({"parallel_optimizer": "off", "model_parallel": 4}, "Ascend", 4 * 2),
        ({"method": "lora"}, "Ascend", 2 * 8),  # frozen weights are whole on every rank
        ({}, "CPU", 4 * 8),
    ],
)
def test_disk_for_the_checkpoints_of_all_ranks(training, device, copies):
    checkpoint = CheckpointReport(Path("/m"), parameters=1000)
    data = DataReport("/d.json", 1, 0, 0, 0, 0, (), "")
    assert needed_bytes(profile_of(device, **training), checkpoint, data) == 3 * copies * 4 * 1000


def test_disk_on_the_direct_route_has_room_for_two_copies_and_the_folder_that_comes_out():
    checkpoint = CheckpointReport(Path("/m"), parameters=1000, total_bytes=2000, direct=True)
    data = DataReport("/d.json", 1, 0, 0, 0, 0, (), "")
    assert needed_bytes(profile_of("CPU", 1), checkpoint, data) == 2 * 2000 + 4 * 1000 + 3 * 4 * 4 * 1000


def direct(**changes):
    return facts_of(route="direct", **changes)


def test_on_the_direct_route_mindformers_own_yaml_is_the_base(tmp_path):
    environment = EnvironmentFacts(python="", mindformers_configs=str(tmp_path))
    assert installed_base(environment, "qwen3") == f"{tmp_path}/qwen3/finetune_qwen3.yaml"
    assert installed_base(environment, "llama") == installed_base(EnvironmentFacts(python=""), "qwen3") == ""
    (tmp_path / "qwen3").mkdir()
    (tmp_path / "qwen3" / "finetune_qwen3.yaml").write_text("model:\n  model_config: {}\n")
    text, problems = read_base(profile_of(), installed_base(environment, "qwen3"))
    assert text.startswith("model:") and problems == []


def test_without_that_yaml_the_direct_route_does_not_start():
    problems = {p.field: p for p in check_direct(profile_of("CPU", 1), direct())}
    assert problems["training.base_yaml"].severity == "error"
    assert "a YAML of MindFormers" in problems["training.base_yaml"].hint


@pytest.mark.parametrize(
    ("targets", "said"),
    [("", ""), (".*linear_.*", ""), (".*wq", "means no matrix"), (".*", "the block"), (".*mlp", "the block mlp")],
)
def test_adapters_of_the_direct_route_are_of_its_own_cells(targets, said):
    facts = direct(base_yaml="model:\n  model_config: {}\n")
    problems = check_parallel(profile_of("CPU", 1, method="lora", lora_targets=targets), facts)
    told = [p.message for p in problems if p.field == "training.lora_targets"]
    assert [said in message for message in told] == ([True] if said else [])


@pytest.mark.parametrize(("version", "warned"), [("1.7.0", True), ("1.9.0", False)])
def test_a_version_that_takes_a_token_for_padding_is_told(version, warned):
    environment = EnvironmentFacts(python="/p", mindformers_version=version, release=find_release(version))
    facts = direct(base_yaml="model:\n  model_config: {}\n", environment=environment)
    problems = check_direct(profile_of("CPU", 1), facts)
    assert [p.severity for p in problems] == (["warning"] if warned else [])


def test_records_are_packed_on_the_direct_route_alone():
    profile = profile_of("CPU", 1)
    profile = profile.model_copy(update={"dataset": profile.dataset.model_copy(update={"pack": True})})
    for route, said in (("checkpoint", True), ("direct", False)):
        facts = facts_of(route=route, packed_rows=90, base_yaml="model:\n  model_config: {seq_length: 8}\n")
        problems = check_parallel(profile, facts)
        assert any(p.field == "dataset.pack" for p in problems) is said


MOE = dataclasses.replace(
    LLAMA2_7B, family="qwen3_moe", num_experts=128, moe_intermediate_size=64, experts_per_token=8, intermediate_size=64
)
MOE_BASE = "model:\n  model_config: {seq_length: 4096}\n"


def of_experts(**training):
    facts = direct(model=MOE, base_yaml=MOE_BASE)
    profile = profile_of(parallel_optimizer="off", recompute="on", **training)
    return [(p.field, p.severity, p.message) for p in check_parallel(profile, facts)]


def test_experts_are_shared_out_over_ranks_that_they_divide():
    assert [p for p in of_experts(expert_parallel=4) if p[1] == "error"] == []
    for odd in (3, 16):
        [(field, _, message)] = [p for p in of_experts(expert_parallel=odd) if p[1] == "error"]
        assert field == "training.expert_parallel" and f"over expert_parallel {odd}" in message


@pytest.mark.parametrize(("sharing", "said"), [(1, False), (4, True)])
def test_shared_out_experts_are_slices_that_have_to_be_merged(sharing, said):
    assert any("save slices of the model" in message for _, _, message in of_experts(expert_parallel=sharing)) is said


def test_experts_are_not_shared_out_on_cpu():
    problems = check_parallel(profile_of("CPU", 1, expert_parallel=2), direct(model=MOE, base_yaml=MOE_BASE))
    assert [p.message for p in problems if p.field == "training.expert_parallel"] == [
        "expert_parallel 2 needs NPUs: on CPU MindFormers trains data parallel alone."
    ]


def test_experts_have_no_adapters():
    told = [message for field, _, message in of_experts(method="lora", lora_targets=".*linear_fc1") if "lora" in field]
    assert len(told) == 1 and "means no matrix of the model" in told[0]
    assert not [field for field, _, _ in of_experts(method="lora") if "lora" in field]
