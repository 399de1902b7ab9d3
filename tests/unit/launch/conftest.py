"""A profile and the facts of a machine, to be changed by each test."""

from __future__ import annotations

import dataclasses

import pytest

from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import default_data
from sft_tui.core.profile_problems import validate_profile
from sft_tui.stack.releases import find_release

MODEL = ModelConfig(
    family="llama", hidden_size=64, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=128, vocab_size=1024,
    max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=500000.0, rope_scaling=None, tied=False,
    torch_dtype="float16", bos_token_id=1, eos_token_id=2, pad_token_id=None, architectures=("LlamaForCausalLM",),
)  # fmt: skip


@pytest.fixture
def make_profile():
    """`make_profile(training__epochs=3)` changes a field of a section."""

    def make(**changes):
        data = default_data("p", work_dir="/w/", python="/env/bin/python", device_target="CPU")
        data["model"]["hf_dir"] = "/models/llama"
        data["dataset"].update(train_path="/data/train.json", seq_length=128)
        for name, value in changes.items():
            section, _, field = name.partition("__")
            if field:
                data[section][field] = value
            else:
                data[section] = value
        profile, problems = validate_profile(data)
        assert profile is not None and not problems
        return profile

    return make


@pytest.fixture
def make_facts():
    def make(mindformers="1.9.0", **changes):
        environment = EnvironmentFacts(
            python="/env/bin/python",
            mindformers_version=mindformers,
            msrun="/env/bin/msrun",
            release=find_release(mindformers),
            mindformers_home=changes.pop("mindformers_home", ""),
            run_mindformer=changes.pop("run_mindformer", ""),
        )
        facts = Facts(
            own_command=("/own/sft-tui",),
            training_command=("/env/bin/python", "/pkg/sft_tui"),
            package_dir="/pkg/sft_tui",
            environment=environment,
            model=MODEL,
            tokenizer_model="/models/llama/tokenizer.model",
            train_records=95,
            eval_records=5,
        )
        return dataclasses.replace(facts, **changes)

    return make


# of finetune_qwen3.yaml, as MindFormers 1.7 to 2.1 have it, what a run changes
DIRECT_BASE = """\
seed: 42
load_checkpoint: ''
use_legacy: False
pretrained_model_dir: "/path/to/Qwen3-32B"
lr_schedule:
  type: ConstantWarmUpLR
  learning_rate: 1.e-6
train_dataset: &train_dataset
  input_columns: ["input_ids", "labels", "loss_mask"]
  construct_args_key: ["input_ids", "labels", "loss_mask"]
  data_loader:
    type: HFDataLoader
    path: "somewhere/alpaca"
    handler:
      - type: take
        n: 2000
  num_parallel_workers: 8
  seed: 1234
train_dataset_task:
  type: CausalLanguageModelDataset
  dataset_config: *train_dataset
context:
  device_target: "Ascend"
  max_device_memory: "58GB"  # of the device
  jit_config:
    jit_level: "O0"
  ascend_config:
    precision_mode: "must_keep_origin_dtype"
    parallel_speed_up_json_path: "./configs/qwen3/parallel_speed_up.json"
parallel_config:
  data_parallel: &dp 1
  model_parallel: 4
  pipeline_stage: 4
  use_seq_parallel: True
parallel:
  parallel_mode: 1
  full_batch: False
  dataset_strategy: [[*dp, 1], [*dp, 1], [*dp, 1]]
  enable_parallel_optimizer: False
model:
  model_config:
    qkv_concat: True
    compute_dtype: "bfloat16"
    residual_dtype: "float32"
callbacks:
  - type: MFLossMonitor  # Prints training progress information
  - type: CheckpointMonitor
    prefix: "qwen3"
    save_checkpoint_steps: 5000
    checkpoint_format: "safetensors"
runner_wrapper:
  type: MFTrainOneStepCell
  scale_sense: 1.0
"""


@pytest.fixture
def make_direct_facts(make_facts):
    def make(mindformers="1.9.0", **changes):
        given = {
            "route": "direct",
            "base_yaml": DIRECT_BASE,
            "base_yaml_path": "/site/finetune_qwen3.yaml",
            "tokenizer_model": "/models/llama",
        }
        return make_facts(mindformers, **{**given, **changes})

    return make
