"""A node's part of a job whose head is elsewhere: started once, and in nobody's way that belongs to it."""

import pytest

from sft_tui.core.job import PartOf
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.store.job_store import find_job

WAITS = "while [ ! -e go ]; do sleep 0.02; done"
WHOLE = PartOf(id="1-p", submitted_at=12345.678901)


def part_plan(lab, name="train-node1", script=WAITS, profile="p", **more):
    # each its own output: two that write one file would see it empty for a moment
    script = f"{script}; echo done > {name}.out"
    return lab.plan(lab.step(name, script, outputs=(f"{name}.out",), devices=("cpu",), **more), profile=profile)


def test_asked_twice_it_is_started_once(lab):
    first, made = client.submit_part(lab.jobs_dir, part_plan(lab), WHOLE)
    again, made_again = client.submit_part(lab.jobs_dir, part_plan(lab), WHOLE)
    assert (first.id, again.id, made, made_again) == ("1-p@train-node1", "1-p@train-node1", True, False)
    lab.step_runs(first, "train-node1")
    (lab.work / "go").touch()
    assert lab.wait(first).outcome == "succeeded"


def test_another_head_has_a_job_of_that_name_too(lab):
    (lab.work / "go").touch()
    first, _ = client.submit_part(lab.jobs_dir, part_plan(lab), WHOLE)
    lab.wait(first)
    other, made = client.submit_part(lab.jobs_dir, part_plan(lab), PartOf(id="1-p", submitted_at=2.0))
    assert (other.id, made) == ("1-p@train-node1.2", True)
    # what was done before is done again: that node alone cannot tell whether all of it fits together
    assert [step.status for step in lab.wait(other).steps] == ["done"]


def test_a_part_of_another_job_is_refused_while_one_runs(lab):
    first, _ = client.submit_part(lab.jobs_dir, part_plan(lab), WHOLE)
    lab.step_runs(first, "train-node1")
    with pytest.raises(InvalidInputError, match="1-p@train-node1"):
        client.submit_part(lab.jobs_dir, part_plan(lab), PartOf(id="9-p", submitted_at=2.0))


def test_on_a_shared_disk_the_head_and_its_parts_do_not_wait_for_each_other_but_others_do(lab):
    """All have one folder of jobs; devices have the same names on every host."""
    head = lab.submit(lab.step("evaluate", WAITS, devices=("cpu",)))
    lab.step_runs(head, "evaluate")
    whole = head.load_spec().whole
    parts = [client.submit_part(lab.jobs_dir, part_plan(lab, f"train-node{n}"), whole)[0] for n in (0, 1)]
    for number, part in enumerate(parts):
        lab.step_runs(part, f"train-node{number}")
    assert find_job(lab.jobs_dir, "1") == head and find_job(lab.jobs_dir, "") == head
    elsewhere = lab.step("one", "true", devices=("cpu",)).model_copy(update={"cwd": str(lab.home)})
    other = client.submit(lab.jobs_dir, lab.plan(elsewhere, profile="q"))
    state = other.load_state()
    (lab.work / "go").touch()
    assert state.lifecycle == "queued"
    assert [lab.wait(folder).outcome for folder in (head, *parts, other)] == ["succeeded"] * 4
