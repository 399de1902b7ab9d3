"""What counts as done, and why something failed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sft_tui.core.plan import Output, Plan, PlannedFile, Step
from sft_tui.files.stamps import signature
from sft_tui.jobs.completion import (
    current_steps,
    find_record,
    missing_output,
    note_other_workers,
    records_dir,
    save_record,
    sign_inputs,
    sign_outputs,
)
from sft_tui.jobs.evidence.step_diagnosis import sign_worker_logs, why_failed

LOGS = Path(__file__).parents[2] / "data" / "training_logs"


def make_step(tmp_path, *outputs, **more):
    return Step(
        id="s",
        title="S",
        argv=("run", "it"),
        cwd=str(tmp_path),
        inputs=(str(tmp_path / "in"),),
        outputs=tuple(Output(path=str(tmp_path / path), kind=kind) for path, kind in outputs),
        **more,
    )


def checkpoint(tmp_path, name="checkpoint/rank_0/sft-1.ckpt", text="w"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "kind, files, problem",
    [
        ("json", {"out": "{}"}, ""),
        ("json", {"out": "{"}, "not valid JSON"),
        ("json", {"out": ""}, "missing or empty"),
        ("conversation", {}, "missing or empty"),
        ("ckpt", {"out": "w"}, "out.json is missing"),
        ("ckpt", {"out": "w", "out.json": "{}"}, ""),
        ("mindrecord", {"out": "w", "out.json": "half"}, "not valid JSON"),
        ("checkpoint_folder", {"out/other.ckpt": "w"}, "no new checkpoint"),
        ("checkpoint_folder", {"out/rank_0/a.ckpt": ""}, "no new checkpoint"),
        ("checkpoint_folder", {"out/rank_0/a.ckpt": "w"}, ""),
        ("checkpoint_folder", {"out/rank_0/a.safetensors": "w", "out/rank_0/meta.json": "{}"}, ""),
        ("checkpoint_folder", {"out/rank_0/meta.json": "{}"}, "no new checkpoint"),
        ("hf_folder", {"out/model.safetensors": "w"}, "config.json"),
        ("hf_folder", {"out/config.json": "{}", "out/model.safetensors": ""}, "no safetensors file"),
        ("hf_folder", {"out/config.json": "{}", "out/model-1.safetensors": "w"}, ""),
    ],
)
def test_each_kind_of_output(tmp_path, kind, files, problem):
    step = make_step(tmp_path, ("out", kind))
    before = sign_outputs(step)
    for name, text in files.items():
        checkpoint(tmp_path, name, text)
    found = missing_output(step, {}, before)
    assert problem in found if problem else found == ""


def test_a_checkpoint_of_an_earlier_run_does_not_count_whatever_the_clock_says(tmp_path):
    step = make_step(tmp_path, ("checkpoint", "checkpoint_folder"))
    old = checkpoint(tmp_path)
    os.utime(old, (4e9, 4e9))
    before = sign_outputs(step)
    assert "no new checkpoint" in missing_output(step, {}, before)
    new = checkpoint(tmp_path, "checkpoint/rank_0/sft-2.ckpt")
    os.utime(new, (1e9, 1e9))  # the file server's clock is years behind
    assert missing_output(step, {}, before) == ""


def test_what_only_the_log_can_tell(tmp_path):
    step = make_step(tmp_path, ("log", "perplexity"), ("log", "weights_loaded"))
    assert "no perplexity" in missing_output(step, {}, {})
    assert "does not say" in missing_output(step, {"perplexity": 2.0}, {})
    facts = {"perplexity": 2.0, "not_loaded": ["lm_head.weight", "b"]}
    assert "2 parameters" in missing_output(step, facts, {})
    assert "lm_head.weight" in missing_output(step, facts, {})
    assert missing_output(step, {"perplexity": 2.0, "not_loaded": []}, {}) == ""


def done(tmp_path):
    step = make_step(tmp_path, ("out", "conversation"), env={"A": "1"})
    (tmp_path / "in").write_text("in")
    (tmp_path / "out").write_text("out")
    save_record(tmp_path / "records", step, "job1", {"perplexity": float("inf")}, sign_inputs(step))
    return step


def test_a_record_holds_while_nothing_changes(tmp_path):
    record = find_record(tmp_path / "records", done(tmp_path))
    assert record.job == "job1"
    assert record.facts == {"perplexity": float("inf")}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder, step: (folder / "in").write_text("other"),
        lambda folder, step: os.utime(folder / "in", ns=(1, 1)),
        lambda folder, step: (folder / "in").unlink(),
        lambda folder, step: (folder / "out").unlink(),
        lambda folder, step: (folder / "out").write_text("outer"),
        lambda folder, step: (folder / "records" / "s.json").write_text("{half"),
        lambda folder, step: step.model_copy(update={"argv": ("run", "that")}),
        lambda folder, step: step.model_copy(update={"env": {"A": "2"}}),
        lambda folder, step: step.model_copy(update={"inputs": ()}),
        lambda folder, step: step.model_copy(update={"outputs": ()}),
    ],
)
def test_a_record_does_not_hold_once_something_changed(tmp_path, change):
    step = done(tmp_path)
    changed = change(tmp_path, step)
    assert find_record(tmp_path / "records", changed if isinstance(changed, Step) else step) is None


def test_a_step_without_outputs_is_always_run(tmp_path):
    step = make_step(tmp_path)
    save_record(tmp_path / "records", step, "job1", {}, sign_inputs(step))
    assert find_record(tmp_path / "records", step) is None


def test_hidden_files_and_folders_are_not_part_of_an_input(tmp_path):
    folder = tmp_path / ".cache" / "model"  # that it lies below a hidden folder does not matter
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "x.lock").touch()
    (folder / ".gitattributes").touch()
    (folder / "config.json").write_text("{}")
    assert list(signature(folder)) == ["config.json"]


def test_the_worker_that_knows_the_cause_is_quoted_not_the_loud_one(tmp_path):
    log = tmp_path / "step.log"
    log.write_text("RuntimeError: msrun gave up\n")
    workers = tmp_path / "msrun"
    workers.mkdir()
    shutil.copy(LOGS / "fail_silent_worker_0.log", workers / "worker_0.log")
    shutil.copy(LOGS / "fail_silent_worker_1.log", workers / "worker_1.log")
    (workers / "worker_10.log").write_text("ValueError: of an earlier run with more workers\n")
    step = make_step(tmp_path, training_log=str(workers / "worker_1.log"))
    assert why_failed(step, log, {}) == "RuntimeError: Invalid backend: CPU"


def test_without_logs_there_is_no_reason(tmp_path):
    assert why_failed(make_step(tmp_path), tmp_path / "none.log", {}) == ""


def test_a_worker_that_did_not_load_is_not_hidden_by_the_last_one(tmp_path):
    line = "INFO - Network parameters are not loaded: ({}, [])\n"
    for rank, missing in enumerate(["[]", "['model.norm_out.weight']", "[]", "['of an earlier run']"]):
        (tmp_path / f"worker_{rank}.log").write_text(line.format(missing))
    step = make_step(tmp_path, ("log", "weights_loaded"), training_log=str(tmp_path / "worker_2.log"))
    facts = {"not_loaded": []}
    note_other_workers(step, facts)
    assert facts["not_loaded"] == ["model.norm_out.weight"]
    assert "model.norm_out.weight" in missing_output(step, facts, {})


def test_a_step_whose_input_is_about_to_change_is_not_current_nor_is_what_follows(tmp_path):
    config = tmp_path / "in"
    config.write_text("epochs: 1")
    first = make_step(tmp_path, ("out", "conversation"))
    second = first.model_copy(update={"id": "t", "inputs": (str(tmp_path / "out"),)})
    second = second.model_copy(update={"outputs": (Output(path=str(tmp_path / "end"), kind="conversation"),)})
    (tmp_path / "out").write_text("made")
    (tmp_path / "end").write_text("made")
    for step in (first, second):
        save_record(records_dir(step), step, "1-p", {}, sign_inputs(step))
    plan = Plan(profile="p", steps=(first, second), files=(PlannedFile(path=str(config), text="epochs: 1"),))
    assert current_steps(plan) == {"s", "t"}
    changed = plan.model_copy(update={"files": (PlannedFile(path=str(config), text="epochs: 2"),)})
    assert current_steps(changed) == frozenset()


def test_the_logs_of_an_earlier_run_are_not_quoted(tmp_path):
    step = make_step(tmp_path, training_log=str(tmp_path / "worker_1.log"))
    (tmp_path / "worker_0.log").write_text("RuntimeError: yesterday's\n")
    before = sign_worker_logs(step)
    log = tmp_path / "step.log"
    log.write_text("OSError: Address already in use\n")
    assert why_failed(step, log, before) == "OSError: Address already in use"


@pytest.mark.parametrize("name", ["runner.py", "cpu"])
def test_what_an_earlier_version_did_is_done(tmp_path, name):
    """Its runner lay in another folder of the package: hours of training are not done again for that."""
    step = make_step(tmp_path, ("out", "json"))
    for path in ("in", "out"):
        (tmp_path / path).write_text("{}")
    earlier = step.model_copy(update={"argv": ("python", f"/site/sft_tui/launch/{name}", "--config", "x")})
    now = step.model_copy(update={"argv": ("python", f"/site/sft_tui/launch/runtime/{name}", "--config", "x")})
    save_record(records_dir(step), earlier, "1-p", {}, sign_inputs(step))
    assert find_record(records_dir(step), now) is not None
    other = now.model_copy(update={"argv": (*now.argv, "--more")})
    assert find_record(records_dir(step), other) is None
