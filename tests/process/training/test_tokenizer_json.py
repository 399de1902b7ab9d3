"""Llama 3.1 and Qwen2.5 by way of a .ckpt with the real MindFormers: every number against a plain forward pass."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

pytestmark = [pytest.mark.real, pytest.mark.nightly]
REFERENCE = Path(__file__).parents[2] / "unit" / "launch" / "decoder_reference.py"


def held_out_loss(folder, mindrecord):
    """The mean of the rows' means, as MindFormers has it. Labels are the tokens: the model shifts."""
    from mindspore.mindrecord import FileReader

    spec = importlib.util.spec_from_file_location("decoder_reference", REFERENCE)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reader = FileReader(str(mindrecord))
    rows = [(np.array(row["input_ids"]), np.array(row["labels"])) for row in reader.get_next()]
    reader.close()
    return float(np.mean([reference.token_losses(folder, ids[:-1], labels[1:]).mean() for ids, labels in rows]))


@pytest.mark.parametrize(("toy", "family"), [("llama3", "llama"), ("qwen2", "qwen2")])
def test_what_was_measured_is_what_the_folders_are(sft, home, toy, family):
    data = write_workspace(home / "demo", family=toy)
    data["training"]["epochs"] = 1
    save_profile_data(profiles_dir(), "p", {**data, "name": "p"})
    result = sft("run", "p", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    work, model, hf = home / f"demo/work-{toy}", home / f"demo/toy-{toy}", home / "hf"
    summary = json.loads((work / "runs/rehearsal-1/summary.json").read_text())
    back = sft(
        "convert-weight", "--model", family, "--reversed", "--input_path", summary["checkpoint"],
        "--config_path", model, "--output_path", hf, "--verify",
    )  # fmt: skip
    assert back.returncode == 0, back.stderr
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    for folder, measured in ((model, "perplexity_before"), (hf, "perplexity_after")):
        loss = held_out_loss(folder, work / "data/eval.mindrecord")
        assert math.log(summary[measured]) == pytest.approx(loss, abs=1e-4), folder
