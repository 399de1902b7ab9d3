"""A clock that is set back by a day in mid-run: a job goes by what cannot be set."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from sft_tui.jobs import client

DAY = 86_400
NEGATIVE = re.compile(r"-\d+(\.\d+)? ?(s|ms|min|h)\b")
WAITS = "while [ ! -e {} ]; do sleep 0.02; done; echo one >> runs; echo done > one"


@pytest.fixture
def clock(lab, monkeypatch):
    """The time of day of everything that a test starts: a file to write an offset to."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")) + sorted(
        Path("/usr/lib").glob("faketime/libfaketime.so.1")
    )
    if not libraries:
        pytest.skip("there is no libfaketime here (Debian: libfaketime)")
    file = lab.home / "clock"
    file.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(libraries[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")  # setting the clock does not touch that one
    monkeypatch.setenv("NO_FAKE_STAT", "1")  # nor the times of files that are there already
    return file


@pytest.fixture
def sft_tui(lab):
    """One command line, under the clock; its stdout."""

    def call(*arguments):
        result = subprocess.run(lab.command(*arguments), capture_output=True, text=True, timeout=60)
        assert "Traceback" not in result.stderr
        return result.stdout

    return call


def set_back(clock):
    clock.write_text("-1d\n")


def start(lab, plan):
    """`sft-tui run --detach`: the submitter goes by the clock as well."""
    result = subprocess.run(lab.run_command(plan, "--detach"), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return lab.jobs_dir / result.stdout.strip()


def steps_of(lab, go):
    one = lab.step("one", WAITS.format(go), outputs=("one",))
    return one, lab.step("two", "echo two >> runs; echo done > two", outputs=("two",))


def test_a_clock_set_back_in_mid_run_changes_neither_the_end_nor_the_order_nor_what_is_skipped(lab, clock, sft_tui):
    plan = lab.plan(*steps_of(lab, "go"))
    start(lab, plan)
    [folder] = client.list_jobs(lab.jobs_dir)
    lab.step_runs(folder, "one")
    set_back(clock)
    shown = sft_tui("jobs", "show")
    assert "1-p: running" in shown
    assert not NEGATIVE.search(shown)

    (lab.work / "go").touch()
    state = lab.wait(folder)
    assert (state.outcome, [step.status for step in state.steps]) == ("succeeded", ["done", "done"])
    assert state.step("one").started_at - state.step("one").ended_at > DAY / 2, "the clock was not set back"
    assert json.loads(folder.step_exit("one").read_text(encoding="utf-8"))["seconds"] >= 0
    for words in (("jobs", "show"), ("jobs", "list"), ("jobs", "attach")):
        text = sft_tui(*words)
        assert "succeeded" in text
        assert not NEGATIVE.search(text), text

    # submitted a day earlier, as the clock has it, and yet after the first
    start(lab, plan)
    again = client.list_jobs(lab.jobs_dir)[-1]
    state = lab.wait(again)
    assert state.submitted_at < folder.load_state().submitted_at - DAY / 2
    assert [step.status for step in state.steps] == ["skipped", "skipped"]
    assert (lab.work / "runs").read_text() == "one\ntwo\n"
    listed = [line.split()[0] for line in sft_tui("jobs", "list").splitlines()]
    assert listed == ["1-p", "2-p"]
    assert [job["id"] for job in json.loads(sft_tui("jobs", "list", "--json"))["jobs"]] == listed
    assert json.loads(sft_tui("jobs", "show", "--json"))["id"] == "2-p"


def test_a_job_waits_for_its_devices_in_the_order_of_submission_whatever_the_clock_says(lab, clock, sft_tui):
    """The one that was submitted last has the earliest time."""

    def using_the_cpu(name):
        step = lab.step("one", f"while [ ! -e go ]; do sleep 0.02; done; echo {name} >> order", devices=("cpu",))
        return lab.plan(step.model_copy(update={"cwd": str(lab.work)}), profile=name)

    first = using_the_cpu("a")
    start(lab, first)
    lab.step_runs(client.list_jobs(lab.jobs_dir)[0], "one")
    set_back(clock)
    for name in ("b", "c"):
        plan = using_the_cpu(name)
        elsewhere = plan.with_step("one", cwd=str(lab.home / name), argv=("sh", "-c", f"echo {name} >> ../work/order"))
        start(lab, elsewhere)
    (lab.work / "go").touch()
    assert [lab.wait(folder).outcome for folder in client.list_jobs(lab.jobs_dir)] == ["succeeded"] * 3
    assert (lab.work / "order").read_text().split() == ["a", "b", "c"]


def told_anew(folder):
    """When what still runs will be killed, once that is a time of the day before."""
    stop_by = folder.load_state().stop_by
    return stop_by if stop_by and stop_by < time.time() - DAY / 2 else None


def test_a_stop_ends_after_its_grace_and_counts_down_truly_when_the_clock_is_set_back_meanwhile(
    lab, clock, sft_tui, eventually
):
    script = "trap 'touch asked' TERM; touch up; while :; do sleep 0.05; done"
    start(lab, lab.plan(lab.step("one", script), stop_grace_seconds=3.0))
    [folder] = client.list_jobs(lab.jobs_dir)
    eventually((lab.work / "up").exists, "the step is ready to be asked")
    assert client.stop(folder)
    eventually((lab.work / "asked").exists, "the step was asked to end")
    assert folder.load_state().stop_by > time.time() - DAY / 2
    set_back(clock)
    stop_by = eventually(lambda: told_anew(folder), "the countdown goes by the new time")
    assert stop_by - (time.time() - DAY) <= 3
    assert all(int(seconds) <= 3 for seconds in re.findall(r"killed in (\S+) s", sft_tui("jobs", "show")))
    state = lab.wait(folder)
    told = state.reason + folder.supervisor_log.read_text()
    assert (state.outcome, state.step("one").exit_code) == ("stopped", -9), told
    assert not NEGATIVE.search(sft_tui("jobs", "show"))
