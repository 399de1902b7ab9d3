"""A damaged job costs itself: it is listed as damaged, can be removed, and still counts while it lives."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time

import pytest

from sft_tui.cli import run_command
from sft_tui.commands import jobs as jobs_command
from sft_tui.core.job import Event
from sft_tui.core.plan import Plan, Step
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.paths import jobs_dir
from sft_tui.store import job_store
from sft_tui.store.job_store import create_job, list_jobs


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("SFT_TUI_HOME", str(tmp_path / "home"))


def make_plan(profile, cwd, device="cpu"):
    step = Step(id="s", title="S", argv=("true",), cwd=str(cwd), devices=(device,))
    return Plan(profile=profile, steps=(step,))


def make_job(tmp_path, profile="demo", *, lifecycle="finished"):
    folder, state = create_job(jobs_dir(), make_plan(profile, tmp_path / "work"), stop_grace_seconds=1.0)
    outcome = "succeeded" if lifecycle == "finished" else None
    folder.save_state(state.model_copy(update={"lifecycle": lifecycle, "outcome": outcome}))
    return folder


def run_list(capsys, *, as_json=True):
    assert jobs_command.list_all(argparse.Namespace(json=as_json)) == 0
    return capsys.readouterr().out


ABSURD = [1e300, -1, float("nan"), float("inf"), 10**400, "x", [], {}, True, None, "\x1b]0;x\x07"]
FIELDS = [
    "submitted_at", "started_at", "ended_at", "stop_by", "lifecycle", "outcome", "steps", "supervisor", "profile", "id",
    "notes", "reason", "waits_for", "held", "schema_version",
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_one_damaged_state_does_not_take_the_list_away(tmp_path, capsys, field):
    sound = make_job(tmp_path, "sound")
    for value in ABSURD:
        damaged = make_job(tmp_path)
        path = damaged.path / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    seen = json.loads(run_list(capsys))
    assert sound.id in [job["id"] for job in seen["jobs"]]
    assert len(seen["jobs"]) + len(seen["damaged"]) == 1 + len(ABSURD)
    assert len(run_list(capsys, as_json=False).splitlines()) == 1 + len(ABSURD)


@pytest.mark.parametrize("field", ["started_at", "ended_at", "exit_code", "process", "status", "id", "reason"])
def test_nor_does_one_whose_step_is_damaged(tmp_path, capsys, field):
    for value in ABSURD:
        path = make_job(tmp_path).path / "state.json"
        data = json.loads(path.read_text())
        data["steps"][0][field] = value
        path.write_text(json.dumps(data))
    assert len(run_list(capsys, as_json=False).splitlines()) == len(ABSURD)


def test_a_folder_without_state_is_listed_and_can_be_removed(tmp_path, capsys):
    folder = make_job(tmp_path)
    (folder.path / "state.json").unlink()
    os.utime(folder.path, (1e9, 1e9))
    assert list(json.loads(run_list(capsys))["damaged"]) == [folder.id]
    arguments = argparse.Namespace(ids=[folder.id], finished=False, yes=True, json=True)
    assert jobs_command.rm(arguments) == 0
    assert list_jobs(jobs_dir()) == [] and not folder.path.exists()


def test_one_that_is_being_submitted_is_not_listed(tmp_path, capsys):
    create_job(jobs_dir(), make_plan("demo", tmp_path), stop_grace_seconds=1.0)
    assert json.loads(run_list(capsys)) == {"jobs": [], "damaged": {}}


@pytest.mark.parametrize("lost", ["state.json", "spec.json", "both", "garbage"])
def test_no_second_job_while_the_first_ones_files_are_gone(tmp_path, lost):
    folder = make_job(tmp_path, lifecycle="running")
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("state.json", "spec.json"):
            if lost in (name, "both"):
                (folder.path / name).unlink()
            elif lost == "garbage":
                (folder.path / name).write_text("{")
        with pytest.raises(InvalidInputError, match=folder.id):
            client.submit(jobs_dir(), make_plan("other", tmp_path / "work"))


def test_sixty_megabytes_of_events_are_shown_at_once(tmp_path, capsys):
    folder = make_job(tmp_path)
    sign = {"kind": "slow", "since": 1.0, "text": "slow", "hint": ""}
    progress = Event(kind="progress", time=1.0, step="s", data={"done": 1, "total": 2, "unit": "rows"})
    line = progress.model_dump_json() + "\n"
    last = Event(kind="watch_out", time=2.0, step="s", data=sign)
    folder.events.write_text(line * (30_000_000 // len(line)) + last.model_dump_json() + "\n")
    began = time.process_time()
    assert [s.kind for s in jobs_command.find_watch_outs(folder)] == ["slow"]
    assert time.process_time() - began < 2


def test_events_come_in_parts_and_none_is_missing(tmp_path, monkeypatch):
    folder = make_job(tmp_path)
    for number in range(50):
        folder.append_event(Event(kind="node_news", time=1.0, data={"text": str(number)}))
    monkeypatch.setattr(job_store, "READ_AT_MOST", 300)
    seen = [event.data["text"] for update in client.watch(folder) for event in update.events]
    assert seen == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("progress", {"done": 10**400, "total": 1, "unit": "bytes"}), ("progress", {}), ("perplexity", {"loss": "x"}),
        ("diagnosis", {"category": 1}), ("stop_asked", {}), ("kill_sent", {"processes": None}), ("step_finished", {}),
    ],
)  # fmt: skip
def test_a_damaged_event_costs_itself(tmp_path, kind, data):
    folder = make_job(tmp_path)
    with folder.events.open("w") as file:
        file.write(json.dumps({"kind": kind, "time": 1.0, "step": "s", "data": data}) + "\n")
        file.write(json.dumps({"kind": "job_started", "time": 1e300}) + "\n")
        file.write(json.dumps({"kind": "step_started", "time": 1.0, "step": "of another job"}) + "\n")
        file.write(json.dumps({"kind": "job_started", "time": 1.0}) + "\n")
    assert [event.kind for update in client.watch(folder) for event in update.events] == ["job_started"]


def test_files_of_a_job_that_are_no_files_do_not_hold_up(tmp_path, capsys):
    folder = make_job(tmp_path, lifecycle="running")
    for name in ("state.json", "spec.json", "lock", "events.jsonl", "metrics.jsonl"):
        (folder.path / name).unlink(missing_ok=True)
        os.mkfifo(folder.path / name)
    os.utime(folder.path, (1e9, 1e9))
    assert list(json.loads(run_list(capsys))["damaged"]) == [folder.id]
    assert folder.read_events() == ([], 0)


@pytest.mark.parametrize("has_log", [True, False])
def test_the_diagnosis_of_a_failed_job_names_its_step_exit_code_and_reason(tmp_path, capsys, has_log):
    folder = make_job(tmp_path, lifecycle="running")
    why = "error: rows.jsonl, line 3: role is missing"
    state = folder.load_state().with_step("s", status="failed", exit_code=2, reason=f"exit code 2: {why}")
    folder.save_state(state.model_copy(update={"lifecycle": "finished", "outcome": "failed", "reason": "step s: ..."}))
    if has_log:
        folder.step_log("s").write_text(f"reading\n{why}\n")
    assert run_command(["diagnose", folder.id, "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["failed"] is True and (seen["job"]["step"], seen["job"]["exit_code"]) == ("s", 2)
    assert why in seen["job"]["reason"]
    assert run_command(["diagnose", folder.id, "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert f"Step s failed: exit code 2: {why}" in said and "Nothing failed" not in said
