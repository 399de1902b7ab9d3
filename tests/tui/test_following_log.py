"""The log panel follows, whatever its height does, until somebody scrolls up."""

from textual.app import App
from textual.widgets import Static

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
