"""GPT-2 on the checkpoint route: the words of its own network, from nothing and from MindFormers' own YAML."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest
import yaml

from sft_tui.checkpoint.mapping.read_config import parse_model_config
from sft_tui.errors import InvalidInputError
from sft_tui.families.table import FAMILIES
from sft_tui.launch.plan.documented import documented_command
from sft_tui.launch.plan.steps import build_plan
from sft_tui.launch.runtime.runner import NETWORKS
from sft_tui.paths import PACKAGE_DIR

CONFIG = {
    "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256, "vocab_size": 640,
    "attn_pdrop": 0.2, "eos_token_id": 600, "bos_token_id": 600,
}  # fmt: skip
# of finetune_gpt2_small_fp16.yaml of MindFormers 1.3, what a run has to change
BASE = """\
runner_config: {epochs: 2, batch_size: 2, sink_mode: True, sink_size: 1}
runner_wrapper:
  type: MFTrainOneStepCell
  scale_sense: {type: DynamicLossScaleUpdateCell, loss_scale_value: 4294967296, scale_factor: 2, scale_window: 1000}
model:
  model_config:
    type: GPT2Config
    max_position_embeddings: 2048
    seq_length: 2048
    hidden_act: "fast_gelu"
    hidden_dropout_rate: 0.1
    compute_dtype: "float16"
  arch:
    type: GPT2LMHeadModel
eval_callbacks:
  - type: ObsMonitor
"""


@pytest.fixture
def plan(make_profile, make_facts):
    def make(base="", **changes):
        facts = dataclasses.replace(
            make_facts("1.3.2"), model=parse_model_config(CONFIG, "config.json"), base_yaml=base
        )
        return build_plan(make_profile(model__family="gpt2", model__hf_dir="/models/gpt2", **changes), facts)

    return make


def train_yaml(plan):
    return yaml.safe_load(next(file.text for file in plan.files if file.path.endswith("/train.yaml")))


@pytest.mark.parametrize("base", ["", BASE])
@pytest.mark.parametrize("device", ["CPU", "Ascend"])
def test_the_traps_of_its_configuration(plan, base, device):
    config = train_yaml(plan(base, environment__device_target=device))
    model = config["model"]["model_config"]
    assert (model["type"], model["max_position_embeddings"], model["seq_length"]) == ("GPT2Config", 256, 128)
    assert (model["hidden_act"], model["expand_ratio"], model["pad_token_id"]) == ("gelu", 4, 600)
    assert (model["eos_token_id"], model["bos_token_id"]) == (600, 600)
    dropouts = ("hidden_dropout_rate", "attention_dropout_rate", "embedding_dropout_prob")
    assert [model[name] for name in dropouts] == [0.1, 0.2, 0.1]
    assert not {"n_kv_heads", "rms_norm_eps", "theta", "intermediate_size", "use_rope_slice"} & set(model)
    assert config["model"]["arch"] == {"type": "LabelledGPT2LMHeadModel"}
    assert config["runner_wrapper"]["scale_sense"]["loss_scale_value"] == 4096
    assert model["compute_dtype"] == "float16"  # hard-wired there
    # only an evaluation needs the key, and a base keeps its own
    assert config.get("eval_callbacks") == ([{"type": "ObsMonitor"}] if base else None)
    if not base:
        tokenizer = config["processor"]["tokenizer"]
        assert (tokenizer["vocab_file"], tokenizer["merges_file"]) == (
            "/models/gpt2/vocab.json",
            "/models/gpt2/merges.txt",
        )
        assert tokenizer["type"] == "GPT2Tokenizer" and tokenizer["pad_token"] == "<|endoftext|>"


def test_an_evaluation_has_the_key_that_it_needs(plan):
    texts = {Path(file.path).stem: yaml.safe_load(file.text) for file in plan().files}
    assert texts["evaluate-before"]["eval_callbacks"] == [] and "eval_callbacks" not in texts["train"]


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": "gelu"},
        {"scale_attn_by_inverse_layer_idx": True},
        {"layer_norm_epsilon": 1e-6},
        {"n_inner": 100},
    ],
)
def test_another_kind_of_gpt2_is_refused(changes):
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        parse_model_config({**CONFIG, **changes}, "config.json")


def test_the_documentation_has_no_command_for_our_network(plan):
    assert documented_command(plan(environment__device_target="Ascend").step("train")) == ""


def test_its_network_is_registered_by_our_runner_on_npus_too(plan):
    for device in ("CPU", "Ascend"):
        train = plan(environment__device_target=device).step("train")
        assert train.argv[1] == "/pkg/sft_tui/launch/runtime/runner.py"
        assert ("--register_path" in train.argv) == (device == "CPU")


def test_every_network_of_ours_has_its_module():
    own = {family.network.model_class for family in FAMILIES.values() if family.network and family.network.own}
    assert set(NETWORKS) == own
    for name, module in NETWORKS.items():
        text = (PACKAGE_DIR / "launch/runtime/networks" / f"{module}.py").read_text()
        assert name in {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)}
    assert {path.stem for path in Path(PACKAGE_DIR / "launch/runtime/networks").glob("[a-z]*.py")} == set(
        NETWORKS.values()
    )


@pytest.mark.parametrize("share", [1.0, -0.1, "much", True])
def test_a_dropout_that_is_none(share):
    with pytest.raises(InvalidInputError, match="resid_pdrop"):
        parse_model_config({**CONFIG, "resid_pdrop": share}, "config.json")
