"""The folder of a run is not written by a plan with other settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_tui.checks.examine import examine
from sft_tui.checks.run_folder import next_run_name
from sft_tui.core.profile import Profile
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.launch.plan.work_paths import WorkPaths
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data


@pytest.fixture
def look(home, make_llama, alpaca, fake_stack):
    """look(into=..., **training): what is found of a small Llama."""
    model, data, python = make_llama(), alpaca(), fake_stack(mindspore="2.7.2", mindformers="1.7.0")

    def values_of(**training):
        return {
            "name": "p",
            "environment": {"python": str(python), "device_target": "CPU", "work_dir": str(home / "w")},
            "model": {"hf_dir": str(model)},
            "dataset": {"train_path": str(data), "seq_length": 256},
            "training": training,
        }

    def examined(into=False, **training):
        return examine(Profile.model_validate(values_of(**training)), into=into)

    examined.values_of = values_of
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


@pytest.fixture
def changed(look):
    """A profile `p` with other settings than its run1, which has trained."""
    run_it(look())
    save_profile_data(profiles_dir(), "p", look.values_of(learning_rate=1e-3))


def test_the_plan_can_be_seen_as_run_into_would_have_it(changed, sft):
    refused, seen = sft("plan", "p"), sft("plan", "p", "--into")
    assert refused.returncode == 2 and "--into" in refused.stderr
    assert seen.returncode == 0 and "train.yaml" in seen.stdout and "other settings" in seen.stderr
    assert json.loads(sft("plan", "p", "--into", "--json").stdout)["plan"]["profile"] == "p"


def test_steps_before_the_run_are_not_refused_for_its_folder(changed, sft, monkeypatch):
    submitted = []

    def submit(_jobs_dir, plan, **options):
        submitted.append(options["until_step"])
        raise InvalidInputError("enough")

    monkeypatch.setattr(client, "submit", submit)
    for step in ("inspect", "convert-weight", "preprocess-train", "train", "summary", "nonsense", ""):
        done = sft("run", "p", *(["--until", step] if step else []))
        assert done.returncode == 2
    assert submitted == ["inspect", "convert-weight", "preprocess-train"]


def test_the_plan_tells_which_steps_enter_the_run_folder(look):
    plan = look(evaluate=True).plan
    entering = [step.id for step in plan.steps if plan.enters_run_folder(step)]
    assert plan.run_folder.endswith("/runs/run1") and {"train", "summary"} <= set(entering)
    assert not {"inspect", "convert-weight", "convert-alpaca", "preprocess-train"} & set(entering)
    early = look(learning_rate=1e-3)
    assert early.early_plan is None, "nothing is in the way"


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [("run1", ["run1"], "run2"), ("run1", ["run1", "run2"], "run3"), ("lora", ["lora"], "lora-2"), ("r9", [], "r10")],
)
def test_the_next_free_name(tmp_path, name, there, expected):
    for other in there:
        (tmp_path / "runs" / other).mkdir(parents=True)
    assert next_run_name(WorkPaths(str(tmp_path), name, "llama")) == expected
