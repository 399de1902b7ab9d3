"""A profile and the facts of a machine, to be changed by each test."""

from __future__ import annotations

import dataclasses

import pytest

from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import default_data
from sft_tui.core.profile_problems import validate_profile
from sft_tui.stack.compatibility import find_traits

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
    def make(mindformers="1.7.0", **changes):
        environment = EnvironmentFacts(
            python="/env/bin/python",
            mindformers_version=mindformers,
            msrun="/env/bin/msrun",
            traits=find_traits(mindformers),
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
