"""A training that starts from a `.ckpt` alone is the one that starts from the folder it was made of."""

from __future__ import annotations

import json
import shutil

import pytest

from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import load_profile_data, save_profile_data

pytestmark = [pytest.mark.real, pytest.mark.nightly]
SAME = ("first_loss", "last_loss", "perplexity_before", "perplexity_after")


def test_from_a_ckpt_a_yaml_and_a_tokenizer_alone(sft, rehearsed):
    home = rehearsed("one worker")
    given = home / "given"
    given.mkdir()
    shutil.copy(home / "demo/work/weights/llama.ckpt", given / "theirs.ckpt")
    shutil.copy(home / "demo/work/runs/rehearsal-1/train.yaml", given / "theirs.yaml")
    shutil.copy(home / "demo/toy-llama/tokenizer.model", given)
    data = load_profile_data(profiles_dir(), "demo")
    data["model"] = {
        "family": "llama", "ckpt": str(given / "theirs.ckpt"), "tokenizer_model": str(given / "tokenizer.model"),
    }  # fmt: skip
    data["training"].update(base_yaml=str(given / "theirs.yaml"), run_name="ready")
    data["environment"]["work_dir"] = str(home / "other")
    save_profile_data(profiles_dir(), "ready", data)
    told = sft("plan", "ready")
    assert f"not needed: weights are taken from {given / 'theirs.ckpt'} as they are" in told.stdout, told.stderr
    result = sft("run", "ready", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    mine, theirs = (
        json.loads((home / folder / "summary.json").read_text())
        for folder in ("other/runs/ready", "demo/work/runs/rehearsal-1")
    )
    assert {name: mine[name] for name in SAME} == {name: theirs[name] for name in SAME}
    assert not (home / "other/weights").exists()
