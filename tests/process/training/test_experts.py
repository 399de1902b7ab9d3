"""Qwen3-MoE with the real MindSpore and MindFormers on CPU: every number against a plain forward pass."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

pytestmark = pytest.mark.real
UNIT = Path(__file__).parents[2] / "unit"
HELD_OUT = 12  # records: the plain forward pass takes its time


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mean_loss(folder, mindrecord):
    from mindspore.mindrecord import FileReader

    token_losses = load(UNIT / "launch" / "decoder_reference.py").token_losses
    reader = FileReader(str(mindrecord))
    losses = [token_losses(folder, np.array(r["input_ids"]), np.array(r["labels"])) for r in reader.get_next()]
    reader.close()
    return float(np.concatenate(losses).mean())


@pytest.mark.nightly
def test_experts_are_trained_and_come_back(sft, home):
    data = write_workspace(home / "demo", family="qwen3")
    model = home / "toy-moe"
    load(UNIT / "toy_qwen3_moe.py").write_toy_qwen3_moe(model)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        shutil.copy(home / "demo/toy-qwen3" / name, model / name)
    data.update(name="experts", rehearsal=False)
    data["model"].update(hf_dir=str(model), family="qwen3_moe")
    data["training"].update(epochs=1)
    held_out = Path(data["dataset"]["eval_path"])
    held_out.write_text(json.dumps(json.loads(held_out.read_text())[:HELD_OUT]))
    save_profile_data(profiles_dir(), "experts", data)
    result = sft("run", "experts", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    work = home / "demo/work-qwen3"
    summary = json.loads((work / "runs/rehearsal-1/summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"] / 4
    for folder, measured in ((model, "perplexity_before"), (Path(summary["exported"]), "perplexity_after")):
        loss = mean_loss(folder, work / "data/eval.mindrecord")
        assert math.log(summary[measured]) == pytest.approx(loss, abs=1e-4), folder
