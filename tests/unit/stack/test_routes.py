"""The table of routes, against what the source trees of MindFormers hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sft_tui.families.table import FAMILIES
from sft_tui.stack.releases import VERSIONS
from sft_tui.stack.routes import (
    check_route,
    choose_route,
    describe_weight_needs,
    find_route,
    trained_families,
    weight_needs,
)

TREES = json.loads((Path(__file__).parents[2] / "golden" / "mindformers_trees.json").read_text())
# what a family's training configurations, and its networks of the second generation, are called there
CONFIGS = {
    "llama": r"(configs/llama2|research/llama3(_1)?)/.*",
    "qwen2": r"research/(qwen1_5|qwen2|qwen2_5)/.*",
    "gpt2": r"configs/gpt2/.*",
    "qwen3": r"configs/qwen3/.*",
    "qwen3_moe": r"configs/qwen3_moe/.*",
    "chatglm": r"configs/glm4/finetune_glm4_9b",
    "glm4": r"(?!)",  # configs/glm4 is of the older model: its network is ChatGLM2's
    # its files are for weights in the layout of MindFormers: its network has no way to read a Hugging Face folder
    "deepseek_v3": r"(?!)",
}


def trains(version: str, model_type: str) -> bool:
    if model_type in ("llama", "qwen2") and "mindformers/models/llama/llama.py" in TREES[version]:
        return True  # the wheel of 2.1 has the class, and not the folder of YAML files
    return any(re.fullmatch(CONFIGS[model_type] + r"\.yaml", name) for name in TREES[version])


def has_network(version: str, model_type: str, kind: str) -> bool:
    return any(
        re.fullmatch(rf"mindformers/models/{model_type}/modeling_\w+_{kind}\.py", path) for path in TREES[version]
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_row_is_what_the_source_tree_says(version, model_type):
    choice = choose_route(model_type, version + ".0")
    direct = trains(version, model_type) and has_network(version, model_type, "train")
    expected = "direct" if direct else "checkpoint" if trains(version, model_type) else None
    assert choice.route == expected
    assert bool(choice.reason) == (expected is None)
    if "inference only" in choice.reason:
        assert has_network(version, model_type, "infer")
    if "older than the model" in choice.reason:
        assert not has_network(version, model_type, "infer")


def test_a_version_that_does_not_train_a_model_says_which_ones_do():
    problem = check_route("qwen3", "1.3.2")
    assert problem is not None and problem.exit_code == 4
    assert problem.message == "MindFormers 1.3.2 does not train Qwen3: it is older than the model."
    assert problem.hint == "MindFormers 1.7, 1.8, 1.9, 2.0, 2.1 does."
    assert "inference only" in check_route("qwen3", "1.6.0").message
    assert check_route("glm4", "1.9.0").hint == "No version that is known here does."
    assert check_route("qwen3", "1.7.0") is None
    assert check_route("qwen3", "") is None and check_route("mamba", "1.7.0") is None


def test_labels_go_by_the_family():
    assert choose_route("qwen3", "1.7.0").labels == choose_route("qwen3", "1.3").labels == "shifted"
    assert choose_route("llama", "1.7.0").labels == "as tokens"


def test_families_are_listed_by_route():
    assert trained_families("1.9.0") == {
        "checkpoint": ["Llama", "Qwen2", "GLM-4-9B"],
        "direct": ["Qwen3", "Qwen3-MoE"],
    }


def test_a_route_is_found_where_the_version_is_not_known():
    assert find_route("qwen3", "") == find_route("qwen3", "1.3.2") == "direct"
    assert {find_route("llama", version) for version in ("", *VERSIONS)} == {"checkpoint"}
    assert "not known here" in choose_route("llama", "3.0").reason
    assert "'mamba'" in choose_route("mamba", "1.7.0").reason


def test_what_training_starts_from_depends_on_model_and_version():
    assert weight_needs("llama", "1.7.0") == {"1.7.0": "ckpt"}
    assert weight_needs("gpt2")["1.3"] == "ckpt"
    assert weight_needs("gpt2")["1.6"] == "no training"
    assert weight_needs("qwen3", "1.9.0") == {"1.9.0": "folder"}
    assert weight_needs("mamba") == {}


def test_what_training_starts_from_is_told_in_words():
    assert describe_weight_needs("qwen3", weight_needs("qwen3")) == [
        "MindFormers 1.7, 1.8, 1.9, 2.0, 2.1 loads this folder as it is: nothing is to be converted",
        "MindFormers 1.2, 1.3 does not train it: it is older than the model",
        "MindFormers 1.6 does not train it: it has this model for inference only",
    ]
    [line] = describe_weight_needs("deepseek_v3", weight_needs("deepseek_v3", "1.9.0"))
    assert line.startswith("MindFormers 1.9.0 does not train it: its training network cannot load")
    assert describe_weight_needs("mamba", {}) == []
