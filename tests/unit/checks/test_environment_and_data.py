"""What keeps an environment from training, told with its field and with what to do."""

from __future__ import annotations

import pytest

from sft_tui.checks.environment_and_data import check_environment
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.profile import Environment, Model, Profile
from sft_tui.stack.releases import find_release


def found(family, version, **packages):
    installed = {
        "mindspore": "2.7.2",
        "tokenizers": "0.21.0",
        "numpy": "1.26.4",
        "sentencepiece": "0.2.0",
    }
    environment = EnvironmentFacts(
        "/env/bin/python",
        packages={**installed, **packages},
        mindformers_version=version,
        release=find_release(version),
    )
    profile = Profile(name="p", environment=Environment(device_target="CPU"), model=Model(family=family))
    return [p for p in check_environment(profile, environment) if "transformers" in p.message]


@pytest.mark.parametrize(
    ("installed", "said"),
    [("4.57.1", "wants transformers 4.51.3; /env/bin/python has 4.57.1."), ("", "/env/bin/python has none.")],
)
def test_on_the_direct_route_there_is_one_transformers(installed, said):
    packages = {"transformers": installed} if installed else {}
    [problem] = found("qwen3", "1.7.0", **packages)
    assert said in problem.message and (problem.severity, problem.exit_code) == ("error", 4)
    assert problem.hint == "/env/bin/python -m pip install transformers==4.51.3"
    assert found("llama", "1.7.0", **packages) == []


def test_that_one_is_no_problem():
    assert (
        found("qwen3", "1.7.0", transformers="4.51.3")
        == found("qwen3", "1.9.0", mindspore="2.9.0", transformers="4.57.1")
        == []
    )
