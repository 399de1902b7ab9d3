"""Today's models with the real MindSpore and MindFormers: from a Qwen3 folder to a fine-tuned Qwen3 folder.

What MindFormers measured is compared with a plain forward pass, of the folder at the start and of the one at the end.
"""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.real
REFERENCE = Path(__file__).parents[1] / "unit" / "launch" / "qwen3_reference.py"


@pytest.fixture
def reference():
    spec = importlib.util.spec_from_file_location("qwen3_reference", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_out_loss(reference, folder, mindrecord):
    """Of every trained token alike."""
    from mindspore.mindrecord import FileReader

    losses = []
    reader = FileReader(str(mindrecord))
    for row in reader.get_next():
        losses += reference.token_losses(folder, np.array(row["input_ids"]), np.array(row["labels"])).tolist()
    reader.close()
    return sum(losses) / len(losses)


def test_two_workers_learn_and_the_folder_that_comes_out_is_what_was_measured(sft, home, reference):
    result = sft("demo", home / "demo", "--model", "qwen3", "--workers", "2", "--headless", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    steps = {s["id"]: s["status"] for s in json.loads(sft("jobs", "show", "--json").stdout)["steps"]}
    assert steps.pop("convert-weight") == "not_needed", steps
    assert set(steps.values()) == {"done"}
    work = home / "demo/work-qwen3"
    summary = json.loads((work / "runs/rehearsal-2/summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    hf = Path(summary["exported"])
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"} <= {
        p.name for p in hf.iterdir()
    }
    for folder, measured in ((home / "demo/toy-qwen3", "perplexity_before"), (hf, "perplexity_after")):
        loss = held_out_loss(reference, folder, work / "data/eval.mindrecord")
        assert math.log(summary[measured]) == pytest.approx(loss, abs=1e-4), folder
    files = sorted((work / "runs/rehearsal-2/checkpoint_network").glob("rank_*/*-3_35.safetensors"))
    first, second = map(load_file, files)
    assert all(np.array_equal(first[name], second[name]) for name in first), "each worker has learned from both"
