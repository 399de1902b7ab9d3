"""The lines of a step become events."""

from __future__ import annotations

import os

from sft_tui.core.plan import Step
from sft_tui.jobs.step_watch import StepWatch

LINE = "Epoch:[  1/  1], step:[    {}/   32], loss:[{}/1.0], per_step_time: 5ms, lr: 0.001\n"


def make_step(training_log=""):
    return Step(id="s", title="S", argv=("x",), cwd="/", training_log=str(training_log))


def test_of_progress_only_the_newest_is_told(tmp_path):
    log = tmp_path / "log"
    log.write_text("progress: a 1/9 rows\n" + LINE.format(1, 2.5) + "progress: a 2/9 rows\n")
    kinds = [(kind, data.get("done"), data.get("loss")) for kind, data in StepWatch(make_step(), log).read()]
    assert kinds == [("training_step", None, 2.5), ("progress", 2, None)]


def test_a_workers_log_of_an_earlier_run_is_not_told_again(tmp_path):
    worker = tmp_path / "worker_1.log"
    worker.write_text(LINE.format(1, 9.0))
    watch = StepWatch(make_step(worker), tmp_path / "log")
    assert watch.read() == []
    worker.write_text(LINE.format(1, 8.0))
    os.utime(worker, (2e9, 2e9))
    assert [data["loss"] for _, data in watch.read()] == [8.0]


def test_a_flood_is_read_in_parts_and_in_the_end_to_its_end(tmp_path):
    log = tmp_path / "log"
    log.write_text("noise\n" * 3_000_000 + LINE.format(1, 2.0))
    watch = StepWatch(make_step(), log)
    assert watch.read() == []
    assert [kind for kind, _ in watch.read(to_the_end=True)] == ["training_step"]


def test_facts_for_the_judgement_are_kept(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "INFO - Network parameters are not loaded: (['a'], [])\n"
        "INFO - PerplexityMetric = {'PerplexityMetric': {'loss': 1.0, 'PPL': 2.7}}\n"
    )
    watch = StepWatch(make_step(), log)
    assert watch.read() == [("perplexity", {"loss": 1.0, "perplexity": 2.7})]
    assert watch.facts == {"not_loaded": ["a"], "loss": 1.0, "perplexity": 2.7}
