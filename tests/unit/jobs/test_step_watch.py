"""The lines of a step become events."""

from __future__ import annotations

import os

import pytest

from sft_tui.core.plan import Step
from sft_tui.jobs import step_watch
from sft_tui.jobs.step_watch import StepWatch
from sft_tui.metrics.points import Mark
from sft_tui.metrics.training_watch import TrainingWatch

LINE = "Epoch:[  1/  1], step:[    {}/   32], loss:[{}/1.0], per_step_time: 5ms, lr: 0.001\n"


def make_step(training_log=""):
    return Step(id="s", title="S", argv=("x",), cwd="/", training_log=str(training_log))


def test_of_progress_only_the_newest_is_told(tmp_path):
    log = tmp_path / "log"
    log.write_text("progress: a 1/9 rows\n" + LINE.format(1, 2.5) + "progress: a 2/9 rows\n")
    news = StepWatch(make_step(), log).read()
    assert [(kind, data["done"]) for kind, data in news.events] == [("progress", 2)]
    assert [(row.step, row.loss) for row in news.rows] == [(1, 2.5)]


def test_a_workers_log_of_an_earlier_run_is_not_told_again(tmp_path):
    worker = tmp_path / "worker_1.log"
    worker.write_text(LINE.format(1, 9.0))
    watch = StepWatch(make_step(worker), tmp_path / "log")
    assert watch.read().rows == []
    worker.write_text(LINE.format(1, 8.0))
    os.utime(worker, (2e9, 2e9))
    assert [row.loss for row in watch.read().rows] == [8.0]


def test_a_flood_is_read_in_parts_and_in_the_end_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(step_watch, "SECONDS_A_CALL", 0.001)
    log = tmp_path / "log"
    log.write_text("progress: a 1/9 rows\n" * 300_000 + LINE.format(1, 2.0))
    watch = StepWatch(make_step(), log)
    news = watch.read()
    assert news.more and news.rows == []
    rows = []
    while news.more:
        news = watch.read(ended=True)
        rows += news.rows
    assert [row.step for row in rows] == [1]


def test_a_log_without_a_word_of_ours_is_passed_over_fast(tmp_path, monkeypatch):
    monkeypatch.setattr(step_watch, "SECONDS_A_CALL", 10.0)  # how quick the machine is does not decide
    log = tmp_path / "log"
    log.write_text("noise\n" * 5_000_000 + LINE.format(1, 2.0))
    news = StepWatch(make_step(), log).read()
    assert [row.step for row in news.rows] == [1], "30 MB in one call"


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_a_log_that_becomes_something_else_does_not_hold_up(tmp_path, kind):
    log = tmp_path / "log"
    log.write_text(LINE.format(1, 2.0))
    watch = StepWatch(make_step(), log)
    assert [row.step for row in watch.read().rows] == [1]
    log.unlink()
    os.mkfifo(log) if kind == "fifo" else log.mkdir()
    assert watch.read() == ([], [], False)
    assert StepWatch(make_step(), log).read(ended=True) == ([], [], False)


DIGITS = "9" * 900


@pytest.mark.parametrize(
    "line",
    [
        LINE.format(DIGITS, 2.0), LINE.format(1, DIGITS), LINE.format(1, 2.0).replace("5ms", f"{DIGITS}ms"),
        LINE.format(1, 2.0).replace("0.001", f"1e{DIGITS}"), LINE.format("9" * 5000, 2.0), LINE.format(1, "1e999"),
        f"progress: a {DIGITS}/{DIGITS} bytes\n", f"progress: a 1/{'9' * 5000} bytes\n",
        f"held-out loss: {DIGITS}, perplexity: {DIGITS}, 1 tokens\n",
    ],
)  # fmt: skip
def test_a_line_with_an_absurd_number_costs_that_line(tmp_path, line):
    log = tmp_path / "log"
    log.write_text(line + LINE.format(2, 2.0))
    watch = StepWatch(make_step(), log)
    news = watch.read()
    assert ([row.step for row in news.rows], news.events) == ([2], [])
    log.write_text(log.read_text() + LINE.format(3, 2.0))
    assert [row.step for row in watch.read().rows] == [3], "measured on"


def test_a_defect_in_measuring_costs_what_was_told(tmp_path, monkeypatch):
    take, told = TrainingWatch.take_step, []

    def broken_once(self, fact, clock, at):
        told.append(fact)
        if len(told) == 1:
            raise OverflowError("int too large to convert to float")
        take(self, fact, clock, at)

    monkeypatch.setattr(TrainingWatch, "take_step", broken_once)
    log = tmp_path / "log"
    log.write_text(LINE.format(1, 2.0) + LINE.format(2, 2.0))
    assert [row.step for row in StepWatch(make_step(), log).read().rows] == [2]


def test_facts_for_the_judgement_are_kept(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "INFO - Network parameters are not loaded: (['a'], [])\n"
        "INFO - PerplexityMetric = {'PerplexityMetric': {'loss': 1.0, 'PPL': 2.7}}\n"
    )
    watch = StepWatch(make_step(), log)
    news = watch.read()
    assert news.events == [("perplexity", {"loss": 1.0, "perplexity": 2.7})]
    assert [(row.kind, row.loss, row.perplexity) for row in news.rows] == [("evaluation", 1.0, 2.7)]
    assert watch.facts == {"not_loaded": ["a"], "loss": 1.0, "perplexity": 2.7}


def test_only_the_first_step_of_an_attempt_holds_the_compilation(tmp_path):
    log = tmp_path / "log"
    log.write_text(LINE.format(4, 2.0) + LINE.format(5, 2.0))
    assert [row.compiled for row in StepWatch(make_step(), log).read().rows] == [True, False]


def test_a_log_that_is_cut_or_replaced_goes_on(tmp_path):
    log = tmp_path / "log"
    log.write_text(LINE.format(1, 3.0) + LINE.format(2, 2.9))
    watch = StepWatch(make_step(), log)
    steps = [row.step for row in watch.read().rows]
    log.write_text(LINE.format(3, 2.8))
    steps += [row.step for row in watch.read().rows]
    log.rename(tmp_path / "log.1")
    log.write_text(LINE.format(4, 2.7))
    steps += [row.step for row in watch.read().rows]
    assert steps == [1, 2, 3, 4]


def test_a_log_in_another_encoding_tells_its_steps(tmp_path):
    log = tmp_path / "log"
    log.write_bytes("训练开始\n".encode("gbk") + LINE.format(1, 3.0).encode() + b"\xff\xfe\x00bad\n")
    assert [row.loss for row in StepWatch(make_step(), log).read().rows] == [3.0]


def test_a_checkpoint_is_marked_at_its_step_and_a_loss_that_is_no_number_is_told(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"......Saving ckpt......\n{LINE.format(7, 'nan')}......Saving ckpt......\n")
    news = StepWatch(make_step(), log).read()
    assert [row.step for row in news.rows if isinstance(row, Mark)] == [7]
    [(kind, data)] = news.events
    assert (kind, data["kind"], data["over"]) == ("watch_out", "loss_not_finite", False)


def test_a_defect_in_what_is_measured_does_not_end_what_is_trained(tmp_path, monkeypatch, capfd):
    def broken(*_arguments):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(TrainingWatch, "take_step", broken)
    log = tmp_path / "log"
    log.write_text(LINE.format(1, 2.5) + "progress: a 2/9 rows\n" + LINE.format(32, 2.5))
    watch = StepWatch(make_step(), log)
    news = watch.read()
    assert ([kind for kind, _ in news.events], news.rows) == (["progress"], [])
    assert watch.all_trained
    assert capfd.readouterr().err.count("ZeroDivisionError: ours") == 1, "told once"
    watch.close()
