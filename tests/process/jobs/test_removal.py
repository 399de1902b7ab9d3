"""Removing jobs: only what has ended, after a question, and as much as it says."""

from __future__ import annotations

import json
import signal

import pytest

from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client, process
from sft_tui.jobs.removal import disk_usage, remove_jobs
from sft_tui.store.job_store import list_jobs


def ids(lab):
    return [folder.id for folder in list_jobs(lab.jobs_dir)]


def test_a_finished_job_goes_and_what_it_made_stays(lab, sft):
    folder, _ = lab.run(lab.step("one", "echo made > out; head -c 300000 /dev/zero", outputs=("out",)))
    kept, _ = lab.run(lab.step("two", "true"))
    usage = disk_usage(folder.path)
    assert usage > 300_000
    result = sft("jobs", "rm", folder.id, "--yes", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"removed": [folder.id], "freed_bytes": usage}
    assert not folder.path.exists()
    assert ids(lab) == [kept.id]
    assert (lab.work / "out").read_text() == "made\n"


def test_the_number_of_a_removed_job_does_not_come_back(lab):
    folder, _ = lab.run(lab.step("one", "true"))
    remove_jobs(lab.jobs_dir, [folder])
    again, _ = lab.run(lab.step("one", "true"))
    assert again.id == "2-p"


def test_without_anybody_to_ask_nothing_is_removed(lab, sft):
    folder, _ = lab.run(lab.step("one", "true"))
    result = sft("jobs", "rm", folder.id)
    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert ids(lab) == [folder.id]


def test_a_running_job_and_one_that_is_waited_for_stay(lab, sft, eventually):
    running = lab.submit(lab.step("one", "sleep 60"))
    lab.step_runs(running, "one")
    result = sft("jobs", "rm", running.id, "--yes")
    assert result.returncode == 2 and f"Job {running.id} has not ended." in result.stderr
    client.stop(running)
    lab.wait(running)
    step = lab.step("one", "true").model_copy(update={"cwd": str(lab.home / "other")})
    follower = client.submit(lab.jobs_dir, lab.plan(step, profile="other"), after=(running.id,))
    eventually(lambda: client.read_state(follower).held, "the follower is held")
    with pytest.raises(InvalidInputError, match=f"Job {follower.id} waits for job {running.id}"):
        remove_jobs(lab.jobs_dir, [running])
    client.stop(follower)
    lab.wait(follower)
    assert sft("jobs", "rm", "--finished", "--yes").returncode == 0
    assert ids(lab) == []


def test_a_lost_job_of_which_something_runs_stays(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    lab.kill_supervisor(folder, "one")
    with pytest.raises(InvalidInputError, match="still runs"):
        remove_jobs(lab.jobs_dir, [folder])
    client.stop(folder)
    remove_jobs(lab.jobs_dir, [folder])
    assert ids(lab) == []


def test_a_damaged_job_of_which_something_runs_stays(lab):
    folder = lab.submit(lab.step("one", "sleep 60"))
    state = lab.kill_supervisor(folder, "one")
    (folder.path / "state.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="has not ended"):
        remove_jobs(lab.jobs_dir, [folder])
    process.signal_process(state.step("one").process, signal.SIGKILL)


def test_a_part_of_an_id_is_not_enough(lab, sft):
    folder, _ = lab.run(lab.step("one", "true"))
    assert sft("jobs", "rm", "p", "--yes").returncode == 2
    assert sft("jobs", "rm", "--yes").returncode == 2
    assert sft("jobs", "rm", "--finished", folder.id, "--yes").returncode == 2  # not: all of them
    assert ids(lab) == [folder.id]


def test_a_damaged_job_can_be_removed_and_a_link_is_not_followed(lab, tmp_path):
    folder, _ = lab.run(lab.step("one", "true"))
    (folder.path / "state.json").write_text("{half")
    remove_jobs(lab.jobs_dir, [folder])
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "state.json").write_text("{}")
    (lab.jobs_dir / "7-link").symlink_to(target)
    linked = next(f for f in list_jobs(lab.jobs_dir) if f.id == "7-link")
    with pytest.raises(InvalidInputError, match="is a link"):
        remove_jobs(lab.jobs_dir, [linked])
    assert (target / "state.json").exists()
