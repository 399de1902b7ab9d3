"""Names of environment variables that hold secrets, and names that only look like it."""

import pytest

from sft_tui.core.plan import Plan, Step
from sft_tui.core.secret_names import looks_secret


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "DBPASSWORD", "api_key", "GH_PAT",
     "MODELSCOPE_API_TOKEN", "OBS_CREDENTIALS", "ssh.passphrase", "AuthToken"],
)  # fmt: skip
def test_names_of_secrets(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "LOG_MF_PATH", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PYTHONPATH", "AUTHOR", "MONKEY", "SPATIAL"]
)
def test_ordinary_names(name):
    assert not looks_secret(name)


def test_a_plan_is_kept_without_its_secrets_and_shows_them_by_name():
    step = Step(id="a", title="A", argv=("run",), cwd="/", env={"HF_TOKEN": "hf_abc", "X": "1 2"})
    plan = Plan(profile="p", steps=(step,))
    assert plan.secrets() == {"HF_TOKEN": "hf_abc"}
    assert "hf_abc" not in plan.without_secrets().model_dump_json()
    assert step.command == "env HF_TOKEN=\"$HF_TOKEN\" X='1 2' run"
