"""Scaled positions and tied embeddings, against the network of each MindFormers."""

import dataclasses

import pytest

from sft_tui.checks.positions import check_positions
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.model_config import ModelConfig
from sft_tui.stack.releases import find_release

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
MODEL = ModelConfig(
    "llama", 64, 2, 4, 2, 192, 640, 131072, 1e-5, 5e5, None, False, "bfloat16", 1, 2, None, ("LlamaForCausalLM",)
)


def said(version, *, route="checkpoint", **changes):
    environment = EnvironmentFacts(python="/p", mindformers_version=version, release=find_release(version))
    model = dataclasses.replace(MODEL, **changes)
    return check_positions(Facts((), (), "", environment, model, "", 8, 2, route=route))


@pytest.mark.parametrize("scaling", [None, LLAMA3, {"type": "linear", "factor": 4}])
def test_what_the_network_has_is_carried_over(scaling):
    assert said("1.9.0", rope_scaling=scaling) == []


def test_an_older_version_names_the_one_that_has_it():
    [problem] = said("1.2.0", rope_scaling=LLAMA3)
    assert "'llama3'" in problem.message and "1.2" in problem.message
    assert (problem.hint, problem.exit_code) == ("MindFormers 1.3 and later have it.", 4)


@pytest.mark.parametrize("kind", ["yarn", "dynamic", "longrope"])
def test_other_kinds_are_refused(kind):
    [problem] = said("1.9.0", rope_scaling={"rope_type": kind, "factor": 4.0})
    assert kind in problem.message and problem.exit_code == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"low_freq_factor": None}, "low_freq_factor"),
        ({"factor": "8"}, "factor"),
        ({"factor": -1.0}, "factor"),
        ({"original_max_position_embeddings": 131072}, "not below the model's 131072"),
        ({"original_max_position_embeddings": 8192.5}, "8192.5"),
    ],
)
def test_numbers_that_mindformers_would_refuse_are_told_before(change, words):
    [problem] = said("1.9.0", rope_scaling={**LLAMA3, **change})
    assert words in problem.message and problem.field == "model.hf_dir"


def test_the_direct_route_carries_none():
    [problem] = said("1.9.0", rope_scaling={"rope_type": "yarn", "factor": 4.0}, route="direct")
    assert "Take rope_scaling out" in problem.hint


def test_tied_embeddings_are_torn_apart_by_1_2_alone():
    assert said("1.3.2", tied=True) == []
    [problem] = said("1.2.0", tied=True)
    assert problem.severity == "warning"
