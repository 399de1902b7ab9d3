"""Plain text as training data, with the real MindFormers: what is measured is what the model is."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sft_tui.dataset.mindrecord.file import read_rows
from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

pytestmark = [pytest.mark.real, pytest.mark.nightly]
REFERENCE = Path(__file__).parents[2] / "unit" / "launch" / "decoder_reference.py"
PLACES = ("harbour", "market", "mill", "bridge", "chapel", "garden", "school", "tower")
PEOPLE = ("keeper", "baker", "sailor", "teacher", "gardener", "miller", "painter")
THINGS = ("a lamp", "two ropes", "a basket of apples", "an old map", "three books", "a red boat")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def write_text(path, passages=400):
    """Invented passages that are alike enough to be learned, parted by blank lines."""
    text = []
    for n in range(passages):
        place, person, thing, day = (
            words[n * step % len(words)] for words, step in ((PLACES, 3), (PEOPLE, 5), (THINGS, 7), (DAYS, 2))
        )
        text.append(
            f"On {day} the {person} went to the {place}.\nThere the {person} found {thing}, and took {thing} home.\n"
        )
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def held_out_loss(folder, mindrecord):
    """The mean of the rows' means, as MindFormers has it: every token behind the first is a label."""
    spec = importlib.util.spec_from_file_location("decoder_reference", REFERENCE)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    rows = [row["input_ids"] for row in read_rows(mindrecord)]
    return float(np.mean([reference.token_losses(folder, ids[:-1], ids[1:]).mean() for ids in rows])), len(rows)


def test_a_llama_learns_a_text_and_is_measured_on_passages_that_were_held_out(sft, home):
    data = write_workspace(home / "demo")
    text = write_text(home / "village.txt")
    data["dataset"].update(train_path=str(text), eval_path="", eval_fraction=0.1, seq_length=128)
    data["training"]["epochs"] = 2
    save_profile_data(profiles_dir(), "p", {**data, "name": "p"})
    planned = json.loads(sft("plan", "p", "--json").stdout)
    result = sft("run", "p", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    work, model = home / "demo/work", home / "demo/toy-llama"
    summary = json.loads((work / "runs/rehearsal-1/summary.json").read_text())
    rows = {part: json.loads((work / f"data/{part}.mindrecord.json").read_text()) for part in ("train", "eval")}
    assert (rows["train"]["records"], rows["eval"]["records"]) == (360, 40)
    [train] = [step for step in planned["plan"]["steps"] if step["id"] == "train"]
    assert train["total_steps"] == 2 * (rows["train"]["rows"] // 4) == summary["steps"]
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    for checkpoint, measured in (
        ("weights/llama.ckpt", "perplexity_before"),
        (summary["checkpoint"], "perplexity_after"),
    ):
        folder = home / measured
        back = sft(
            "convert-weight", "--model", "llama", "--reversed", "--input_path", work / checkpoint,
            "--config_path", model, "--output_path", folder,
        )  # fmt: skip
        assert back.returncode == 0, back.stderr
        loss, count = held_out_loss(folder, work / "data/eval.mindrecord")
        assert math.log(summary[measured]) == pytest.approx(loss, abs=1e-4), folder
        assert count == rows["eval"]["rows"]
