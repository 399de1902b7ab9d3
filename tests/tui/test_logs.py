"""The logs of a job: chosen, paged, followed, searched, filtered, merged, written to a file."""

from __future__ import annotations

import os
import stat

import pytest

from sft_tui.core.plan import Plan, Step
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import create_job
from sft_tui.tui.app import SftApp
from tests.tui.conftest import Driver


def stamp(n, text, level="INFO"):
    return f"2026-11-24 10:{n // 60:02}:{n % 60:02},000 - mindformers[callback.py:494] - {level} - {text}\n"


@pytest.fixture
def logs(home, profile):
    """The logs of a job with two workers; the job itself does not matter."""
    profile("first")
    run = home / "run"
    train = Step(
        id="train", title="Train", argv=("true",), cwd=str(home), training_log=f"{run}/msrun/worker_1.log",
        env={"LOG_MF_PATH": f"{run}/log"},
    )  # fmt: skip
    folder, state = create_job(jobs_dir(), Plan(profile="first", steps=(train,)), stop_grace_seconds=1)
    folder.save_state(state)
    folder.step_log("train").write_text("Traceback (most recent call last):\nValueError: \x1b[31mno \x1b]0;x\x07rows\n")

    def write(name, text):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    for rank in range(2):
        lines = [stamp(n, f"step {n} of rank {rank}") for n in range(rank, 200, 2)]
        lines[40] = stamp(80 + rank, f"bad thing, step {80 + rank} of rank {rank}", "ERROR")
        write(f"msrun/worker_{rank}.log", "".join(lines))
    return write


async def open_logs(wizard, name):
    """From the monitor to a log, by keys."""
    await wizard.until(lambda: wizard.app.session.job is not None, "the job")
    await wizard.press("f8")
    await wizard.until(lambda: "Logs" in wizard.footer.values(), "the key")
    await wizard.press("ctrl+l")
    tree = wizard.app.screen.query_one("#log-tree")
    await wizard.until(lambda: name in wizard.text, "the list")
    await wizard.press("home")
    for _ in range(20):
        if str(tree.cursor_node and tree.cursor_node.label).startswith(name):
            break
        await wizard.press("down")
    await wizard.press("enter")
    await wizard.until(lambda: wizard.app.screen.query_one("#log-pane").has_focus, "the log")


def shown(wizard):
    """What is in the pane, line by line."""
    return wizard.app.screen.query_one("#log-pane").visual.plain.splitlines()


def head(wizard):
    return wizard.text.splitlines()[0]


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
async def test_a_log_is_followed_paged_and_searched(open_wizard, logs, size):
    path = logs("msrun/worker_3.log", "".join(stamp(n, f"line {n}") for n in range(1000)))
    async with open_wizard(size=size) as wizard:
        await open_logs(wizard, "worker_3.log")
        await wizard.until(lambda: shown(wizard) and shown(wizard)[-1].endswith("line 999"), "its end")
        assert "esc Back ^q Quit" in wizard.text.splitlines()[-1], "all keys fit"
        assert "following" in head(wizard)
        with path.open("a") as file:
            file.write(stamp(1000, "line 1000"))
        await wizard.until(lambda: shown(wizard)[-1].endswith("line 1000"), "what came")

        rows = len(shown(wizard))
        await wizard.press("pageup")
        await wizard.until(lambda: shown(wizard)[0].endswith(f"line {1000 - 2 * rows + 2}"), "the page above")
        with path.open("a") as file:
            file.write(stamp(1001, "line 1001"))
        await wizard.press("up")
        await wizard.until(lambda: shown(wizard)[0].endswith(f"line {1000 - 2 * rows + 1}"), "a line above")
        assert "paused" in head(wizard)
        await wizard.press("home")
        await wizard.until(lambda: shown(wizard)[0].endswith("line 0"), "the beginning")
        await wizard.press("slash", *"line 50", "enter")
        await wizard.until(lambda: shown(wizard)[0].endswith("line 50"), "what was searched for")
        await wizard.press("n")
        await wizard.until(lambda: shown(wizard)[0].endswith("line 500"), "the next")
        assert shown(wizard)[0] == "10:08:20 line 500"
        await wizard.press("t")
        await wizard.until(lambda: shown(wizard)[0] == stamp(500, "line 500").strip(), "the whole line")
        await wizard.press("t")
        await wizard.press("N")
        await wizard.until(lambda: shown(wizard)[0].endswith("line 50"), "the one before")
        await wizard.press("slash", *"nowhere", "enter")
        await wizard.until(lambda: "no such line from here on" in wizard.words, "an honest answer")
        await wizard.press("slash", "left_parenthesis", "enter")
        await wizard.until(lambda: "is no regular expression" in wizard.words, "what is wrong")
        await wizard.press("end")
        await wizard.until(lambda: shown(wizard)[-1].endswith("line 1001"), "the end")
        await wizard.press("space")
        await wizard.until(lambda: "paused" in head(wizard), "it stands still")
        path.write_text(stamp(0, "anew"))
        await wizard.press("space")
        await wizard.until(lambda: shown(wizard) == ["10:00:00 anew"], "a log that was cut")


async def test_all_ranks_are_merged_by_time_and_filtered(open_wizard, logs):
    async with open_wizard(size=(140, 40)) as wizard:
        await open_logs(wizard, "msrun: 2 logs")
        await wizard.until(lambda: shown(wizard) and shown(wizard)[-1].endswith("step 199 of rank 1"), "the end")
        assert shown(wizard)[-2].endswith("step 198 of rank 0") and shown(wizard)[-1].startswith("  1|")
        await wizard.press("e")
        await wizard.until(lambda: shown(wizard)[0].endswith("bad thing, step 80 of rank 0"), "the first error")
        assert shown(wizard)[1].endswith("bad thing, step 81 of rank 1"), "what the other wrote then"
        await wizard.press("f", *"level:error", "enter")
        await wizard.until(lambda: len(shown(wizard)) == 2, "errors only")
        await wizard.press("f")
        wizard.app.screen.query_one("#logs-input").value = "rank:1 step 1?7 "
        await wizard.press("enter")
        await wizard.until(lambda: shown(wizard) and "step 17 of rank 1" in shown(wizard)[1], "of one rank")
        await wizard.press("f")
        wizard.app.screen.query_one("#logs-input").value = "level:loud"
        await wizard.press("enter")
        await wizard.until(lambda: "'loud' is no level" in wizard.words, "what is wrong")
        assert "2 errors" in wizard.text


async def test_what_a_log_says_to_the_terminal_does_not_reach_it(open_wizard, logs):
    async with open_wizard() as wizard:
        await open_logs(wizard, "train.log")
        await wizard.until(lambda: len(shown(wizard)) == 2, "the log")
        assert shown(wizard)[1] == "ValueError: no rows"
        await wizard.press("escape")
        await wizard.until(lambda: "1 error" in wizard.text, "back to the list")
        await wizard.press("escape")
        await wizard.until(lambda: wizard.step == "monitor" and "Logs" in wizard.footer.values(), "back to the monitor")


async def test_a_range_is_written_to_a_private_file_and_none_is_overwritten(open_wizard, logs, tmp_path):
    out = tmp_path / "part.txt"
    async with open_wizard() as wizard:
        await open_logs(wizard, "worker_0.log")
        await wizard.until(lambda: shown(wizard), "the log")
        await wizard.press("home")
        await wizard.until(lambda: shown(wizard)[0].endswith("step 0 of rank 0"), "the beginning")
        await wizard.press("m", "pagedown", "pagedown")
        await wizard.until(lambda: not shown(wizard)[0].endswith("step 0 of rank 0"), "a page further down")
        for answer in ("lines are in", "File exists"):
            await wizard.press("w")
            wizard.app.screen.query_one("#logs-input").value = str(out)
            await wizard.press("enter")
            await wizard.until(lambda answer=answer: answer in wizard.words, answer)
    written = [int(line.split()[-4]) for line in out.read_text().splitlines()]
    assert written[0] == 0 and len(written) > 30, "from the mark to the end of the page, without a gap"
    assert written == sorted(written) and len(set(written)) == len(written)
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
def test_the_look_of_the_logs(snap_compare, logs, size):
    app = SftApp("first")
    app.CURSOR_BLINK = False

    async def ready(pilot):
        wizard = Driver(app, pilot)
        await wizard.opened()
        await open_logs(wizard, "msrun: 2 logs")
        await wizard.press("e")
        await wizard.until(
            lambda: shown(wizard) and shown(wizard)[0].endswith("bad thing, step 80 of rank 0"), "an error"
        )
        await wizard.until(lambda: "2 errors" in wizard.text or size[0] < 100, "all are counted")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=ready)
