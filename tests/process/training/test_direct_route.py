"""Today's models with the real MindSpore and MindFormers: from a Qwen3 folder to a fine-tuned Qwen3 folder.

What MindFormers measured is compared with a plain forward pass, of the folder at the start and of the one at the end.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sft_tui.demo.workspace import write_workspace
from sft_tui.files.saved_states import find_states, last_of_rank_0, rank_folders
from sft_tui.metrics.store import iterate_metrics
from sft_tui.paths import profiles_dir
from sft_tui.store.job_store import JobFolder
from sft_tui.store.profile_store import save_profile_data

pytestmark = pytest.mark.real
REFERENCE = Path(__file__).parents[2] / "unit" / "launch" / "decoder_reference.py"


@pytest.fixture
def reference():
    spec = importlib.util.spec_from_file_location("decoder_reference", REFERENCE)
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


def stop_in_the_midst(sft, home, *flags):
    """Train, and stop between two checkpoints, in the midst of an epoch."""
    job = json.loads(sft("run", "demo-qwen3", *flags, "--detach", "--json").stdout)["id"]
    metrics = JobFolder(home / "sft-tui/state/jobs" / job).metrics
    deadline = time.monotonic() + 240
    while not any(row.step and row.step > 19 for row in iterate_metrics(metrics)):
        assert time.monotonic() < deadline, "training does not come to step 20"
        time.sleep(0.05)
    assert sft("jobs", "stop", job).returncode == 0
    assert sft("jobs", "wait", job).returncode == 3


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_workers_learn_and_go_on_and_the_folder_that_comes_out_is_what_was_measured(sft, home, reference, workers):
    """A training is stopped and goes on; that of two workers ends with the very weights of one as a whole."""
    compared = workers == 2
    data = write_workspace(home / "demo", workers=workers, family="qwen3")
    data["training"]["epochs"] = workers
    total = {1: 69, 2: 70}[workers]
    run_name = data["training"]["run_name"]
    with socket.create_server(("127.0.0.1", 0)) as free:  # another training may be about to take the usual one
        data["nodes"]["master_port"] = free.getsockname()[1]
    save_profile_data(profiles_dir(), "demo-qwen3", data)
    work = home / "demo/work-qwen3"
    saved = work / "runs" / run_name / "checkpoint_network"
    if compared:
        result = sft("run", "demo-qwen3", "--until", "train", timeout=400)
        assert result.returncode == 0, result.stdout + result.stderr
        whole = last_of_rank_0(saved)
        stop_in_the_midst(sft, home, "--from", "train")
    else:
        stop_in_the_midst(sft, home)
    result = sft("run", "demo-qwen3", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    done = int(re.search(r"whole checkpoint is that of step (\d+)", result.stderr)[1])
    assert done >= 20 and f"step {done + 1}/{total}" in result.stderr

    steps = {s["id"]: s["status"] for s in json.loads(sft("jobs", "show", "--json").stdout)["steps"]}
    assert steps.pop("convert-weight") == "not_needed", steps
    assert {name for name, status in steps.items() if status == "done"} == {
        "inspect", "train", "evaluate-after", "export", "summary",
    }, steps  # fmt: skip
    summary = json.loads((work / "runs" / run_name / "summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    assert (summary["checkpoint"], summary["steps"]) == (str(last_of_rank_0(saved)), total)
    hf = Path(summary["exported"])
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"} <= {
        p.name for p in hf.iterdir()
    }
    for folder, measured in ((home / "demo/toy-qwen3", "perplexity_before"), (hf, "perplexity_after")):
        loss = held_out_loss(reference, folder, work / "data/eval.mindrecord")
        assert math.log(summary[measured]) == pytest.approx(loss, abs=1e-4), folder

    last = find_states([sorted(folder.iterdir()) for folder in rank_folders(saved)])[-1]
    assert last.done == total
    if compared:
        assert whole not in last.files
        for rank, file in enumerate(last.files):
            weights, expected = load_file(file), load_file(whole)
            assert all(np.array_equal(weights[name], expected[name]) for name in expected), rank
