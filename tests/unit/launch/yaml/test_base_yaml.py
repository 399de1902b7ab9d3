"""A YAML of MindFormers with the profile's changes: comments stay, everything else does too, and the diff is short."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.memory.estimate import GIB, estimate_memory
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import default_data
from sft_tui.core.profile_problems import validate_profile
from sft_tui.errors import InvalidInputError
from sft_tui.launch.plan.steps import build_plan
from sft_tui.launch.yaml.base_yaml import dump_new, list_base_configs, merge_into_base, parse_base
from sft_tui.launch.yaml.run_spec import training_steps
from sft_tui.launch.yaml.workload import plan_workload, read_workload
from sft_tui.stack.releases import find_release

MODEL = ModelConfig(
    family="llama", hidden_size=64, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=128, vocab_size=1024,
    max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=500000.0, rope_scaling=None, tied=False,
    torch_dtype="float16", bos_token_id=1, eos_token_id=2, pad_token_id=None, architectures=("LlamaForCausalLM",),
)  # fmt: skip
# the shape of MindFormers' configs/llama2/finetune_llama2_7b.yaml of 1.2, shortened
BASE = """\
seed: 0
load_checkpoint: '{path}/llama2_7b.ckpt'  # 必填
auto_trans_ckpt: False  # transform it for several devices
run_mode: 'finetune'
runner_config:
  epochs: 2
  batch_size: 1
  sink_mode: True
  sink_size: 2
optimizer:
  type: FP32StateAdamWeightDecay
  beta1: 0.9
  eps: 1.e-8
  learning_rate: 1.e-6

# how fast
lr_schedule:
  type: CosineWithWarmUpLR
  learning_rate: 1.e-6
  warmup_ratio: 0.03
train_dataset: &train_dataset
  data_loader:
    type: MindDataset
    dataset_dir: ""
    shuffle: True
  input_columns: ["input_ids", "labels"]  # labels are used in instruction finetune.
  batch_size: 2
  drop_remainder: True
train_dataset_task:
  type: CausalLanguageModelDataset
  dataset_config: *train_dataset
parallel:
  parallel_mode: 1 # 0-data parallel, 1-semi-auto parallel
  enable_parallel_optimizer: True
  parallel_optimizer_config:
    gradient_accumulation_shard: False
parallel_config:
  data_parallel: 8
  model_parallel: 1
  pipeline_stage: 1
  micro_batch_num: 1
  vocab_emb_dp: True
micro_batch_interleave_num: 1
recompute_config:
  recompute: False
  select_recompute: False
callbacks:
  - type: MFLossMonitor
  - type: CheckpointMonitor
    prefix: "llama2_7b"
    save_checkpoint_steps: 100
    integrated_save: False
  - type: ObsMonitor
context:
  mode: 0 #0--Graph Mode; 1--Pynative Mode
  device_target: "Ascend"
  max_device_memory: "57GB"
  jit_config:
    jit_level: "O1"
model:
  model_config:
    type: LlamaConfig
    seq_length: 4096
    hidden_size: 4096
    num_layers: 32
    num_heads: 32
    vocab_size: 32000
    compute_dtype: "bfloat16"
    softmax_compute_type: "float16"
    param_init_type: "float16"
    use_flash_attention: True # faster
    checkpoint_name_or_path: "llama2_7b"
  arch:
    type: LlamaForCausalLM
processor:
  tokenizer:
    unk_token: '<unk>'
    type: LlamaTokenizer
  type: LlamaProcessor
metric:
  type: PerplexityMetric
runner_wrapper:
  type: MFTrainOneStepCell
  use_clip_grad: True
auto_tune: False
"""


@pytest.fixture
def plan(make_profile, make_facts):
    """`plan(...)` of a profile that starts from BASE on eight NPUs."""

    def make(version="1.2.0", **changes):
        changes = {"environment__device_target": "Ascend", "nodes__worker_num": 8, **changes}
        profile = make_profile(training__base_yaml="/mf/finetune.yaml", **changes)
        facts = make_facts(version, base_yaml=BASE, train_records=950, eval_records=50)
        return build_plan(profile, facts), profile, facts

    return make


def file_of(plan, step_id):
    return next(file for file in plan.files if Path(file.path).stem == step_id)


def test_every_comment_and_every_other_line_stays(plan):
    text = file_of(plan()[0], "train").text
    for comment in ("# 必填", "# how fast", "# faster", "#0--Graph Mode; 1--Pynative Mode", "&train_dataset"):
        assert comment in text
    for line in ("  type: FP32StateAdamWeightDecay", "  eps: 1.e-8", "  - type: ObsMonitor", "    unk_token: '<unk>'"):
        assert line in text.splitlines()


def test_what_runs_has_the_profile_in_it(plan):
    config = yaml.safe_load(file_of(plan()[0], "train").text)
    assert (config["load_checkpoint"], config["output_dir"]) == ("/w/weights/llama.ckpt", "/w/runs/run1")
    assert config["runner_config"] == {"epochs": 1, "batch_size": 1, "sink_mode": False, "sink_size": 1}
    # floats that PyYAML takes for floats, in the optimizer of the base
    assert config["optimizer"]["learning_rate"] == config["lr_schedule"]["learning_rate"] == 1e-5
    assert config["optimizer"]["weight_decay"] == 0.0
    model = config["model"]["model_config"]
    assert (model["hidden_size"], model["n_kv_heads"], model["seq_length"]) == (64, 2, 128)
    assert (model["param_init_type"], model["softmax_compute_type"]) == ("float16", "float16")
    assert config["context"]["max_device_memory"] == "57GB"
    assert config["train_dataset"] == config["train_dataset_task"]["dataset_config"]
    assert config["train_dataset"]["data_loader"]["dataset_dir"] == "/w/data/train.mindrecord"
    assert config["processor"]["tokenizer"]["vocab_file"] == "/models/llama/tokenizer.model"
    callbacks = {item["type"]: item for item in config["callbacks"]}
    assert list(callbacks) == ["MFLossMonitor", "CheckpointMonitor", "ObsMonitor"]
    assert callbacks["CheckpointMonitor"]["save_network_params"] is True


def test_the_diff_tells_of_changes_alone(plan):
    file = file_of(plan()[0], "train")
    assert file.based_on == "/mf/finetune.yaml"
    lines = file.changes.splitlines()
    assert lines[:2] == ["--- /mf/finetune.yaml", "+++ /w/runs/run1/train.yaml"]
    assert "-  epochs: 2" in lines and "+  epochs: 1" in lines
    assert not any(line[0] in "+-" and "FP32State" in line for line in lines)
    removed = [line for line in lines[2:] if line.startswith("-")]
    assert len(removed) < 20  # no line is there for its blanks or its spelling


def test_evaluation_starts_from_the_same_base(plan):
    config = yaml.safe_load(file_of(plan()[0], "evaluate-before").text)
    assert "jit_config" not in config["context"]  # O1 is an error there
    assert yaml.safe_load(file_of(plan()[0], "train").text)["context"]["jit_config"] == {"jit_level": "O1"}
    assert (config["run_mode"], config["callbacks"]) == ("eval", [])
    assert config["eval_dataset"]["data_loader"]["dataset_dir"] == "/w/data/eval.mindrecord"
    assert config["runner_config"]["batch_size"] == 1


def test_lora_is_put_in_but_not_before_training(plan):
    made, *_ = plan(training__method="lora", training__lora_rank=16)
    pets = {step: yaml.safe_load(file_of(made, step).text)["model"]["model_config"].get("pet_config") for step in
            ("evaluate-before", "train", "evaluate-after")}  # fmt: skip
    assert pets["evaluate-before"] is None
    assert pets["train"] == pets["evaluate-after"] == {
        "pet_type": "lora", "lora_rank": 16, "lora_alpha": 16, "lora_dropout": 0.05,
        "target_modules": ".*wq|.*wk|.*wv|.*wo",
    }  # fmt: skip


def test_full_tuning_takes_the_adapters_of_a_base_out():
    from sft_tui.launch.yaml.base_yaml import ABSENT

    text = "model:\n  model_config:\n    type: LlamaConfig  # 1\n    pet_config:\n      pet_type: lora\n"
    changed = merge_into_base(text, {"model": {"model_config": {"pet_config": ABSENT}}})
    assert changed == "model:\n  model_config:\n    type: LlamaConfig  # 1\n"


def test_on_cpu_nothing_of_the_npu_is_left(plan):
    made, *_ = plan("1.7.0", environment__device_target="CPU", nodes__worker_num=2)
    config = yaml.safe_load(file_of(made, "train").text)
    assert (config["context"]["device_target"], "max_device_memory" in config["context"]) == ("CPU", False)
    assert config["parallel"]["parallel_mode"] == 0 and config["parallel"]["enable_parallel_optimizer"] is False
    assert config["runner_wrapper"]["type"] == "CpuTrainOneStepCell"
    model = config["model"]["model_config"]
    assert (model["compute_dtype"], model["param_init_type"], model["use_flash_attention"]) == (
        "float32", "float32", False,
    )  # fmt: skip


def test_awkward_texts_arrive_as_they_are():
    awkward = "on"
    path = '/数据/a b/it\'s "x" $(y) #1: {z}'
    text = merge_into_base("model: {}\na: 1\n", {"a": awkward, "b": path, "c": 1e-05, "d": True, "e": "1e-5"})
    assert yaml.safe_load(text) == {"model": {}, "a": "on", "b": path, "c": 1e-5, "d": True, "e": "1e-5"}


def test_the_estimate_reads_what_will_run(plan):
    _, profile, facts = plan(training__model_parallel=2, training__pipeline_stage=2, dataset__seq_length=256)
    work, limit = plan_workload(profile, facts)
    assert limit == 57 * GIB
    assert (work.data_parallel, work.model_parallel, work.pipeline_stage, work.micro_batch_num) == (2, 2, 2, 2)
    assert (work.seq_length, work.param_bytes, work.compute_bytes, work.softmax_bytes) == (256, 2, 2, 2)
    assert (work.recompute, work.parallel_optimizer, work.flash_attention) == (False, True, True)
    assert estimate_memory(work).total > 0


def test_selected_layers_and_halves_of_a_batch_are_read(make_facts):
    config = yaml.safe_load(BASE)
    config["recompute_config"]["select_recompute"] = [8, 4, 1]
    config["micro_batch_interleave_num"] = 2
    work = read_workload(config, make_facts().model)
    assert (work.select_recompute, work.batch_size) == (8, 2)


@pytest.mark.parametrize(("chosen", "steps"), [(0, 8), (1, 1), (4, 4)])
def test_accumulation_of_the_base_holds_until_the_profile_says_otherwise(make_profile, make_facts, chosen, steps):
    profile = make_profile(
        environment__device_target="Ascend", nodes__worker_num=8, training__gradient_accumulation_steps=chosen
    )
    base = BASE.replace("  sink_size: 2\n", "  sink_size: 2\n  gradient_accumulation_steps: 8\n")
    facts = make_facts("1.2.0", base_yaml=base, train_records=960)
    config = yaml.safe_load(file_of(build_plan(profile, facts), "train").text)
    assert config["runner_config"]["gradient_accumulation_steps"] == steps
    assert training_steps(profile, facts) == 960 // 8 // steps
    assert plan_workload(profile, facts)[0].accumulation == steps


def test_a_base_with_more_memory_than_the_device_has_is_cut_down(make_profile, make_facts):
    profile = make_profile(environment__device_target="Ascend", environment__device_memory_gb=32.0)
    facts = make_facts("1.2.0", base_yaml=BASE)
    config = yaml.safe_load(file_of(build_plan(profile, facts), "train").text)
    assert config["context"]["max_device_memory"] == "29GB"


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "a", "recompute"]), inner),
    max_leaves=4,
)


@given(st.sampled_from(sorted(yaml.safe_load(BASE))), junk, st.booleans())
@settings(max_examples=settings.default.max_examples // 4)
def test_whatever_stands_in_a_section_is_refused_or_used(section, value, cpu):
    content = yaml.safe_load(BASE)
    content[section] = value
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    try:
        parse_base(text)
    except InvalidInputError as error:
        assert section in error.message
        return
    data = default_data("p", work_dir="/w", python="/p", device_target="CPU" if cpu else "Ascend")
    data["model"]["hf_dir"], data["dataset"]["train_path"] = "/m", "/d.json"
    data["training"]["base_yaml"], data["nodes"]["worker_num"] = "/b.yaml", 2
    profile = validate_profile(data)[0]
    environment = EnvironmentFacts(python="/p", mindformers_version="1.7.0", release=find_release("1.7.0"))
    facts = Facts(("s",), ("t",), "/pkg", environment, MODEL, "/t", 100, 10, base_yaml=text)
    config = yaml.safe_load(file_of(build_plan(profile, facts), "train").text)
    assert config["runner_config"]["epochs"] == 1 and config["load_checkpoint"] == "/w/weights/llama.ckpt"
    assert estimate_memory(plan_workload(profile, facts)[0]).total > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [("model: {}\nmodel: {}\n", "no YAML"), ("model: 1\n", "model is no section"), ("a:\n - b\n c", "line 3"),
     ("model: {model_config: {}}\ncontext: 5\n", "context is no section")],
)  # fmt: skip
def test_what_cannot_be_used_says_why(text, words):
    with pytest.raises(InvalidInputError, match=words):
        parse_base(text)


LAYOUTS = {
    "1.2": ("configs/llama2/finetune_llama2_7b.yaml", "configs/llama2/lora_llama2_7b.yaml"),
    "1.3": ("configs/llama2/finetune_llama2_7b.yaml", "research/llama3/finetune_llama3_8b_8k_800T_A2_64G.yaml"),
    "1.6": ("research/llama3_1/llama3_1_8b/finetune_llama3_1_8b.yaml", "configs/general/pretrain_dense_model.yaml"),
    "1.7": ("research/llama3_1/llama3_1_8b/finetune_llama3_1_8b.yaml", "configs/qwen3/predict_qwen3.yaml"),
    "1.9": ("research/llama3_1/llama3_1_8b/finetune_llama3_1_8b.yaml", "configs/general/pretrain_dense_model.yaml"),
}


@pytest.mark.parametrize("version", LAYOUTS)
def test_the_configurations_of_each_layout_are_found(tmp_path, version):
    for name in LAYOUTS[version]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("model:\n  model_config:\n    type: LlamaConfig # Llama\n")
    other = tmp_path / "configs" / "glm4" / "finetune_glm4_9b.yaml"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text("model:\n  model_config:\n    type: ChatGLM2Config\n")
    expected = [name for name in LAYOUTS[version] if Path(name).name.startswith("finetune_")]
    assert [str(p.relative_to(tmp_path)) for p in list_base_configs(tmp_path, "llama")] == expected


PLAIN = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789._-+/=", min_size=1, max_size=200).map(lambda text: f"/{text}")
SCALARS = st.one_of(
    PLAIN, st.booleans(), st.sampled_from([1e-06, 1e-5, 3e-4, 1e16, 1e300, 0.1, -2.5e-7]),
    st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["on", "no", "None", "null", "1e-5", "010", "1:30", "2001-01-01", "", "~", "a: b", "#x", "中文"]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["seed", "output_dir", "load_checkpoint", "a_key"]), SCALARS))
def test_a_new_yaml_is_what_pyyaml_writes(config):
    """Finished trainings of earlier versions have such a text, and must not look changed."""
    assert dump_new(config) == "".join(
        yaml.safe_dump({k: v}, sort_keys=False, allow_unicode=True) for k, v in config.items()
    )


@pytest.mark.parametrize(
    "text",
    ["1e-5", "1e5", "1.5e3", "1.e-6", "1.0e+5", ".5", "y", "Y", "yes", "off", "010", "0x1F", "1_000", "1:30", "~",
     "null", "Null", "", "-1", "+1.5", ".inf", "1.", "2001-01-01", "'1'", "=x"],
)  # fmt: skip
def test_a_base_is_read_as_mindformers_reads_it(text, capfd):
    base = f"model:\n  model_config:\n    key: {text}\n"
    assert parse_base(base)["model"]["model_config"] == yaml.safe_load(base)["model"]["model_config"]
    assert capfd.readouterr().err == ""
