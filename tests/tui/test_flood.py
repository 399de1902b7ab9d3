"""A training that says much does not flood the terminal."""

from __future__ import annotations

from sft_tui.core.plan import Plan, Step
from sft_tui.store.job_store import create_job
from sft_tui.tui import bridge

LINE = "Epoch:[  1/  1], step:[    1/   99], loss: 1.0, per_step_time: 5ms\n"


def _follow(tmp_path, cells):
    step = Step(id="train", title="T", argv=("true",), cwd=str(tmp_path))
    folder, state = create_job(tmp_path / "jobs", Plan(profile="p", steps=(step,)), stop_grace_seconds=1.0)
    folder.save_state(
        state.with_step("train", status="running", started_at=1.0).model_copy(update={"lifecycle": "running"})
    )
    folder.step_log("train").write_text("")
    return folder, bridge.JobFollower(folder, lambda: cells)


def _say(folder, count):
    with folder.step_log("train").open("a") as file:
        file.write(LINE * count)


def test_of_a_flood_it_is_told_less_often_the_larger_the_screen_is(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(bridge.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("sft_tui.jobs.client.read_state", lambda folder: folder.load_state())
    folder, follower = _follow(tmp_path, cells=9000)
    follower.look()
    _say(folder, 20)
    assert len(follower.look().log_lines) == 20
    _say(folder, 30)
    now[0] += 1.9
    assert follower.look() is None
    now[0] += 0.2
    assert len(follower.look().log_lines) == 30, "nothing is lost"


def test_a_line_now_and_then_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sft_tui.jobs.client.read_state", lambda folder: folder.load_state())
    folder, follower = _follow(tmp_path, cells=10**9)
    follower.look()
    for _ in range(3):
        _say(folder, 1)
        assert len(follower.look().log_lines) == 1
