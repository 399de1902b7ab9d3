"""The finished runs of a profile, whatever its run is called by now."""

import json
import os
from pathlib import Path

import pytest

from sft_tui.core.plan import Output, Plan, Step
from sft_tui.results.finished_runs import find_runs
from sft_tui.results.summary import RunSummary
from sft_tui.store.job_store import create_job


@pytest.fixture
def run(tmp_path):
    """Makes a run with its checkpoint and summary."""

    def make(name, at, work="work"):
        folder = tmp_path / work / "runs" / name
        checkpoint = folder / "checkpoint_network" / "rank_0" / "m-1_2.ckpt"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"x")
        summary = folder / "summary.json"
        summary.write_text(json.dumps(RunSummary(str(folder), str(checkpoint), 2, 3.0, 2.0, None, None).to_json()))
        os.utime(summary, (at, at))
        return summary

    return make


def _job(jobs: Path, profile: str, summary: Path) -> None:
    step = Step(
        id="summary", title="Sum up", argv=("true",), cwd="/", outputs=(Output(path=str(summary), kind="json"),)
    )
    folder, state = create_job(jobs, Plan(profile=profile, steps=(step,)), stop_grace_seconds=1)
    folder.save_state(state)


def names(tmp_path, profile="mine"):
    return [run.name for run in find_runs(profile, tmp_path / "work", tmp_path / "jobs")]


def test_the_newest_comes_first_and_one_without_summary_is_none(tmp_path, run):
    run("old", 100)
    run("new", 300)
    run("middle", 200)
    (tmp_path / "work" / "runs" / "running").mkdir()
    assert names(tmp_path) == ["new", "middle", "old"]


def test_runs_of_its_jobs_count_wherever_they_are_and_those_of_others_do_not(tmp_path, run):
    _job(tmp_path / "jobs", "mine", run("moved", 400, "elsewhere"))
    _job(tmp_path / "jobs", "other", run("theirs", 500))
    run("here", 100)
    assert names(tmp_path) == ["moved", "here"]
    assert names(tmp_path, "other") == ["theirs", "here"]


def test_a_summary_of_an_earlier_checkpoint_and_a_damaged_one_are_left_out(tmp_path, run):
    later = run("again", 100).parent / "checkpoint_network" / "rank_0" / "m-2_2.ckpt"
    later.write_bytes(b"x")
    os.utime(later, (2**31, 2**31))
    run("torn", 200).write_text("{")
    (tmp_path / "jobs" / "1-mine").mkdir(parents=True)
    (tmp_path / "jobs" / "1-mine" / "state.json").write_text("{")
    assert names(tmp_path) == []
