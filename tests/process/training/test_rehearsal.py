"""The whole way with the real MindSpore and MindFormers: through the command line, with one and two workers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sft_tui.metrics.points import MetricPoint
from sft_tui.metrics.store import iterate_metrics
from sft_tui.paths import PACKAGE_DIR, profiles_dir
from sft_tui.store.job_store import JobFolder
from sft_tui.store.profile_store import load_profile_data, save_profile_data

pytestmark = pytest.mark.real


def newest_job(sft):
    return json.loads(sft("jobs", "show", "--json").stdout)


def statuses(job):
    return {step["id"]: step["status"] for step in job["steps"]}


def test_one_worker_learns(sft, rehearsed, rehearsals):
    home = rehearsed("one worker")
    result = rehearsals.said["one worker"]
    assert "REHEARSAL on a toy model" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr, "escape codes without a terminal"
    summary = json.loads((home / "demo/work/runs/rehearsal-1/summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"] / 10
    assert Path(summary["checkpoint"]).stat().st_size > 700_000
    assert set(statuses(newest_job(sft)).values()) == {"done"}


def test_the_workspace_is_what_a_user_would_have(sft, rehearsed):
    home = rehearsed("one worker")
    model = home / "demo/toy-llama"
    assert {p.name for p in model.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.model",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    }  # fmt: skip
    train, held_out = (json.loads((home / f"demo/data/alpaca_{p}.json").read_text()) for p in ("train", "held_out"))
    assert len(train) + len(held_out) >= 300
    assert not {json.dumps(r) for r in train} & {json.dumps(r) for r in held_out}
    assert any(r["input"] for r in train) and any(not r["input"] for r in train)
    report = json.loads(sft("inspect", model, "--json").stdout)
    assert (report["convertible"], report["shards"], report["problems"]) == (True, 2, [])


def test_the_model_can_be_asked(rehearsed):
    """The very command that Results shows."""
    home = rehearsed("one worker")
    run_dir = home / "demo/work/runs/rehearsal-1"
    checkpoint = json.loads((run_dir / "summary.json").read_text())["checkpoint"]
    [question, answer] = json.loads((home / "demo/work/data/eval_conversation.json").read_text())[0]["conversations"]
    opening = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    prompt = f"{opening}detailed, and polite answers to the user's questions. USER: {question['value']} ASSISTANT:"
    done = subprocess.run(
        [
            sys.executable, PACKAGE_DIR / "launch/runtime/runner.py", "--config", run_dir / "evaluate-after.yaml",
            "--run_mode", "predict", "--load_checkpoint", checkpoint,
            "--register_path", PACKAGE_DIR / "launch/runtime/cpu",
            "--predict_length", "150", "--predict_data", prompt,
        ],
        capture_output=True, text=True, timeout=200, cwd=home,
    )  # fmt: skip
    said = [json.loads(line[len("answer: ") :])[0] for line in done.stdout.splitlines() if line.startswith("answer: ")]
    assert done.returncode == 0, done.stderr[-2000:]
    # a toy model: it has learned how answers look, not what is right
    assert said[0].startswith(prompt) and set(said[0][len(prompt) :].split()) & set(answer["value"].split()), said


def test_a_second_run_does_nothing_twice(sft, rehearsed):
    rehearsed("one worker")
    result = sft("run", "demo", timeout=100)
    assert result.returncode == 0, result.stderr
    job = newest_job(sft)
    assert statuses(job).pop("inspect") == "done"
    assert {s for name, s in statuses(job).items() if name not in ("inspect", "summary")} == {"skipped"}


def test_weights_that_are_not_loaded_are_a_failure(sft, rehearsed):
    """A parameter has another name in the file: MindFormers trains on from random values, and exits with 0."""
    home = rehearsed("one worker")
    misname_a_parameter(home / "demo/work/weights/llama.ckpt")
    data = load_profile_data(profiles_dir(), "demo")
    data["training"].update(epochs=1, run_name="misnamed", evaluate=False)
    save_profile_data(profiles_dir(), "demo", data)
    result = sft("run", "demo", "--from", "train", timeout=200)
    assert result.returncode == 1
    assert "step train" in result.stdout and "got nothing from the checkpoint" in result.stdout
    assert "model.layers.1.attention.wq.weight" in result.stdout
    job = newest_job(sft)
    assert (job["outcome"], statuses(job)["summary"]) == ("failed", "todo")


def misname_a_parameter(ckpt):
    stamp = ckpt.stat()
    content = ckpt.read_bytes()
    assert content.count(b"layers.1.attention.wq") == 1
    ckpt.chmod(0o600)
    ckpt.write_bytes(content.replace(b"layers.1.attention.wq", b"layers.7.attention.wq"))
    # as long and as old as before, so that the conversion still counts as done
    os.utime(ckpt, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_two_workers_learn_together_with_msrun(sft, rehearsed):
    """What is there of the rehearsal with one is used; the weights, which were removed, are made again."""
    home = rehearsed("two workers, trained")
    job = newest_job(sft)
    states = statuses(job)
    assert (states["convert-weight"], states["preprocess-train"], states["train"]) == ("done", "skipped", "done")
    run = home / "demo/work/runs/rehearsal-2"
    assert {p.name for p in (run / "checkpoint").iterdir()} == {"rank_0", "rank_1"}
    rows = iterate_metrics(JobFolder(home / "sft-tui/state/jobs" / job["id"]).metrics)
    losses = {row.step: row.loss for row in rows if isinstance(row, MetricPoint)}
    assert sorted(losses) == list(range(1, 106)), losses
    assert sum(losses[step] for step in range(96, 106)) < sum(losses[step] for step in range(1, 11)) / 2


@pytest.mark.nightly
def test_what_two_workers_have_learned_is_measured(rehearsed):
    home = rehearsed("two workers")
    assert json.loads((home / "demo/work/runs/rehearsal-2/summary.json").read_text())["gained"] is True


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_interrupted_training_goes_on_and_ends_as_if_nothing_had_been(sft, rehearsed, how):
    """Two workers; the loss of the last step and the perplexity are those of the run that was not interrupted."""
    home = rehearsed("two workers")
    run = home / "demo/work/runs/rehearsal-2"
    whole = json.loads((run / "summary.json").read_text())
    started = sft("run", "demo", "--from", "train", "--detach", "--json")
    assert started.returncode == 0, started.stderr
    job = json.loads(started.stdout)["id"]
    # a kill leaves only what was saved every 27 steps
    pids, wanted = wait_for_step(home, job, 30 if how == "kill" else 3)
    if how == "stop":
        assert sft("jobs", "stop", job).returncode == 0
        assert sft("jobs", "wait", job).returncode == 3
    else:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert sft("jobs", "wait", job).returncode == 1
    result = sft("run", "demo", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    done = int(re.search(r"whole checkpoint is that of step (\d+)", result.stderr)[1])
    assert done == 27 if how == "kill" else done >= wanted
    assert f"step {done + 1}/105" in result.stderr
    states = statuses(newest_job(sft))
    assert (states["convert-weight"], states["train"], states["evaluate-after"]) == ("skipped", "done", "done")
    resumed = json.loads((run / "summary.json").read_text())
    for key in ("first_loss", "last_loss", "steps", "perplexity_after"):
        assert resumed[key] == whole[key], key


def wait_for_step(home, job, wanted):
    """Wait until so many steps of training are done; the pids of msrun and its workers, and the step."""
    folder = JobFolder(home / "sft-tui/state/jobs" / job)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        steps = [row.step for row in iterate_metrics(folder.metrics) if row.step]
        if steps and steps[-1] >= wanted:
            leader = folder.load_state().step("train").process.pid
            workers = [p for p in psutil.Process(leader).children() if "runner.py" in " ".join(p.cmdline())]
            # msrun first: it waits half a minute for its scheduler once a worker has died
            return [leader, *(worker.pid for worker in workers)], steps[-1]
        time.sleep(0.02)
    pytest.fail(f"step {wanted} was not reached")
