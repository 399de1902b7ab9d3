"""The log panel follows, whatever its height does, until somebody scrolls up."""

from textual.app import App
from textual.widgets import Static

from sft_tui.core.plan import Plan, Step
from sft_tui.store.job_store import create_job
from sft_tui.tui import bridge
from sft_tui.tui.widgets.following_log import FollowingLog


class Panel(App):
    def compose(self):
        yield Static("", id="chart")
        yield FollowingLog()


def last_line_is_in_view(log):
    return log.scroll_offset.y + log.size.height >= log.line_count - 1


async def test_it_follows_when_other_widgets_take_room():
    app = Panel()
    async with app.run_test(size=(80, 24)) as pilot:
        log, chart = app.query_one(FollowingLog), app.query_one("#chart")
        log.add_lines([f"line {n}" for n in range(100)])
        await pilot.pause()
        chart.styles.height = 8
        log.add_lines([f"more {n}" for n in range(50)])
        await pilot.pause()
        log.add_lines(["the last"])
        await pilot.pause()
        assert last_line_is_in_view(log)


async def test_it_stays_where_a_person_reads_until_end_is_pressed():
    app = Panel()
    async with app.run_test(size=(80, 24)) as pilot:
        log = app.query_one(FollowingLog)
        log.focus()
        log.add_lines([f"line {n}" for n in range(100)])
        await pilot.pause()
        await pilot.press("pageup")
        await pilot.pause()
        log.add_lines([f"more {n}" for n in range(50)])
        await pilot.pause()
        assert not last_line_is_in_view(log)
        await pilot.press("end")
        await pilot.pause()
        assert last_line_is_in_view(log)


# --- how often a flood is told

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
