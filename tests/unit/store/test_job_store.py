"""Folders of jobs."""

from __future__ import annotations

import stat

import pytest

from sft_tui.core.job import Event, JobSpec, initial_state
from sft_tui.core.plan import Plan, Step
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.store import job_store
from sft_tui.store.job_store import JobFolder, create_job, find_job, list_jobs

PLAN = Plan(profile="p", steps=(Step(id="a", title="A", argv=("true",), cwd="/"),))


def new_job(jobs_dir):
    folder, state = create_job(jobs_dir, PLAN, stop_grace_seconds=30.0)
    folder.save_state(state)
    return folder


def fake_job(jobs_dir, job_id):
    folder = JobFolder(jobs_dir / job_id)
    folder.path.mkdir(parents=True)
    folder.save_state(initial_state(JobSpec(id=job_id, plan=PLAN, submitted_at=1.0)))
    return folder


def test_a_new_job_is_private_complete_and_seen_only_with_its_first_state(tmp_path):
    folder, state = create_job(tmp_path / "jobs", PLAN, from_step="a", stop_grace_seconds=3)
    assert list_jobs(tmp_path / "jobs") == []
    folder.save_state(state)
    assert list_jobs(tmp_path / "jobs") == [folder]
    spec = folder.load_spec()
    assert (spec.id, spec.plan, spec.from_step, spec.stop_grace_seconds) == (folder.id, PLAN, "a", 3.0)
    for path in [tmp_path / "jobs", folder.path, *folder.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_ids_count_on_in_the_order_of_submission(tmp_path):
    assert [new_job(tmp_path).id for _ in range(11)][-2:] == ["10-p", "11-p"]
    assert [j.id for j in list_jobs(tmp_path)] == [f"{n}-p" for n in range(1, 12)]


def test_a_number_that_was_taken_meanwhile_is_not_used_twice(tmp_path, monkeypatch):
    (tmp_path / "1-p").mkdir()
    ids = iter(["1-p", "1-p", "2-p"])
    monkeypatch.setattr(job_store, "_next_id", lambda *_: next(ids))
    assert new_job(tmp_path).id == "2-p"


def test_a_torn_last_line_is_left_for_later_and_odd_lines_are_passed_over(tmp_path):
    folder = new_job(tmp_path)
    assert folder.read_events() == ([], 0)
    folder.append_event(Event(kind="job_started", time=1.0))
    folder.append_event(Event(kind="progress", time=2.0, data={"label": "two\nlines\u2028and\rmore"}))
    torn = Event(kind="job_finished", time=3.0).model_dump_json().encode()
    with folder.events.open("ab") as file:
        file.write(b'{"kind": "of a later version", "time": 1}\nnot json\n\n' + torn[:10])
    events, offset = folder.read_events()
    assert [e.kind for e in events] == ["job_started", "progress"]
    assert folder.read_events(offset) == ([], offset)
    with folder.events.open("ab") as file:
        file.write(torn[10:] + b"\n")
    assert [e.kind for e in folder.read_events(offset)[0]] == ["job_finished"]


def test_a_job_is_found_by_number_id_part_or_as_the_newest(tmp_path):
    with pytest.raises(InvalidInputError, match="no jobs yet"):
        find_job(tmp_path / "none", "")
    first, second, tenth = (fake_job(tmp_path, i) for i in ("1-llama", "2-other", "10-llama"))
    (tmp_path / ".submit").touch()
    (tmp_path / "unrelated").mkdir()
    assert list_jobs(tmp_path) == [first, second, tenth]
    assert find_job(tmp_path, "") == tenth
    assert find_job(tmp_path, "1") == first  # though 10-llama holds a 1 as well
    assert find_job(tmp_path, "2-other") == second
    assert find_job(tmp_path, "llama") == tenth
    with pytest.raises(InvalidInputError, match="'nope'"):
        find_job(tmp_path, "nope")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', "\x00"])
def test_a_damaged_file_is_named(tmp_path, text):
    folder = new_job(tmp_path)
    (folder.path / "state.json").write_text(text)
    with pytest.raises(SftError, match=r"state\.json"):
        folder.load_state()


def test_bytes_that_are_no_text_are_named_too(tmp_path):
    folder = new_job(tmp_path)
    (folder.path / "state.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SftError, match=r"state\.json"):
        folder.load_state()
    (folder.path / "spec.json").unlink()
    with pytest.raises(SftError, match=r"spec\.json"):
        folder.load_spec()
