"""The folder of a run is not written by a plan with other settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_tui.checks.examine import examine
from sft_tui.checks.run_folder import next_run_name
from sft_tui.core.profile import Profile
from sft_tui.launch.plan.work_paths import WorkPaths


@pytest.fixture
def look(home, make_llama, alpaca, fake_stack):
    """look(into=..., **training): what is found of a small Llama."""
    model, data, python = make_llama(), alpaca(), fake_stack(mindspore="2.7.2", mindformers="1.7.0")

    def examined(into=False, **training):
        values = {
            "name": "p",
            "environment": {"python": str(python), "device_target": "CPU", "work_dir": str(home / "w")},
            "model": {"hf_dir": str(model)},
            "dataset": {"train_path": str(data), "seq_length": 256},
            "training": training,
        }
        return examine(Profile.model_validate(values), into=into)

    return examined


def run_it(findings):
    """Leave what a training leaves."""
    for file in findings.plan.files:
        Path(file.path).parent.mkdir(parents=True, exist_ok=True)
        Path(file.path).write_text(file.text)
    (Path(findings.plan.files[0].path).parent / "summary.json").write_text(json.dumps({}))


def of_the_run(findings):
    return [p for p in findings.problems if p.field == "training.run_name"]


def test_the_same_settings_may_run_again_and_others_may_not(look):
    first = look()
    assert first.plan is not None and not of_the_run(first)
    run_it(first)
    assert look().plan is not None
    other = look(learning_rate=1e-3)
    [problem] = of_the_run(other)
    assert other.plan is None and problem.severity == "error"
    assert "learning_rate" in problem.message and "run2" in problem.hint and "--into" in problem.hint
    assert look(learning_rate=1e-3, run_name="run2").plan is not None
    written_over = look(into=True, learning_rate=1e-3)
    assert written_over.plan is not None and of_the_run(written_over)[0].severity == "warning"


def test_a_run_that_never_trained_is_in_nobodys_way(look):
    first = look()
    run_it(first)
    run_dir = Path(first.plan.files[0].path).parent
    (run_dir / "summary.json").unlink()
    assert look(learning_rate=1e-3).plan is not None
    (run_dir / "checkpoint" / "rank_0").mkdir(parents=True)
    (run_dir / "checkpoint" / "rank_0" / "a.ckpt").touch()
    assert look(learning_rate=1e-3).plan is None


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [("run1", ["run1"], "run2"), ("run1", ["run1", "run2"], "run3"), ("lora", ["lora"], "lora-2"), ("r9", [], "r10")],
)
def test_the_next_free_name(tmp_path, name, there, expected):
    for other in there:
        (tmp_path / "runs" / other).mkdir(parents=True)
    assert next_run_name(WorkPaths(str(tmp_path), name, "llama")) == expected
