"""Going on with an interrupted training: which checkpoint counts, and when none does."""

from __future__ import annotations

import os
import signal

import pytest

from sft_tui.checkpoint.formats.ckpt_write import encode_value_header
from sft_tui.core.plan import Output, PlannedFile
from sft_tui.jobs import client
from sft_tui.jobs.resume import find_resume_point


def write_checkpoint(path, step, *, torn=False):
    """A `.ckpt` as MindFormers saves it, in small: a weight and the step counter."""
    weight, counter = b"\0" * 64, int(step).to_bytes(8, "little", signed=True)
    data = encode_value_header("w", (16,), "Float32", 64) + weight
    data += encode_value_header("step_num", (), "Int64", 8) + counter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[:-5] if torn else data)


class Training:
    """A plan whose training waits for a signal; checkpoints are laid down by the test, as MindFormers would."""

    def __init__(self, lab, eventually, workers=1):
        self.lab, self.eventually = lab, eventually
        self.folder = lab.work / "run" / "checkpoint"
        self.config = "epochs: 3\n"
        self.workers = workers
        (lab.work / "data").write_text("1")

    def plan(self, script='echo "args: $0 $@"; while [ ! -e go ]; do sleep 0.05; done'):
        lab = self.lab
        data = lab.step("data", "cp data made", outputs=("made",), inputs=(str(lab.work / "data"),))
        config = PlannedFile(path=str(lab.work / "train.yaml"), text=self.config)
        train = lab.step(
            "train", script, inputs=(str(lab.work / "made"), config.path), checkpoint_dir=str(self.folder),
            workers=self.workers,
        )  # fmt: skip
        output = Output(path=str(self.folder), kind="checkpoint_folder")
        return lab.plan(data, train.model_copy(update={"outputs": (output,)}), files=(config,))

    def start(self, plan=None):
        job = client.submit(self.lab.jobs_dir, plan or self.plan(), stop_grace_seconds=1.0)
        self.lab.step_runs(job, "train")
        log = job.step_log("train")
        self.eventually(lambda: log.is_file() and log.read_text(), "it has started")
        return job

    def save(self, name, step, rank=0, **more):
        write_checkpoint(self.folder / f"rank_{rank}" / name.format(rank), step, **more)

    def interrupt(self, job):
        client.stop(job)
        return self.lab.wait(job)


@pytest.fixture
def training(lab, eventually):
    return Training(lab, eventually)


def test_what_was_never_begun_or_left_no_checkpoint_begins_anew(training):
    assert find_resume_point(training.plan()) is None
    state = training.interrupt(training.start())
    assert find_resume_point(training.plan()) is None
    assert "begins the stopped step again" in state.hint


def test_the_checkpoint_with_most_steps_counts_whatever_its_name_and_date(training):
    job = training.start()
    training.save("sft_rank_{}-3_9.ckpt", 9)
    training.save("sft_rank_{}_1-1_2.ckpt", 30)  # after a resumption names count from there
    training.save("sft_rank_{}_1-1_1.ckpt", 29)
    state = training.interrupt(job)
    point = find_resume_point(training.plan())
    assert point.done == 30
    name = "sft_rank_0_1-1_2.ckpt"
    assert point.checkpoint == str(training.folder / "rank_0" / name)
    assert point.arguments == (
        "--load_checkpoint", str(training.folder), "--resume_training", name, "--auto_trans_ckpt", "False",
    )  # fmt: skip
    assert state.hint == "sft-tui run p goes on from the checkpoint of step 30"


def test_a_torn_checkpoint_does_not_count(training):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.save("sft_rank_{}-1_20.ckpt", 20, torn=True)
    training.interrupt(job)
    assert find_resume_point(training.plan()).done == 10


def test_of_several_ranks_all_must_have_it_whole(lab, eventually):
    training = Training(lab, eventually, workers=2)
    job = training.start()
    for rank in (0, 1):
        training.save("sft_rank_{}-1_10.ckpt", 10, rank)
        training.save("sft_rank_{}-1_20.ckpt", 20, rank, torn=rank == 1)
    training.save("sft_rank_{}-1_30.ckpt", 30, 0)
    for rank in (0, 1):
        training.save("sft_rank_{}-1_40.ckpt", 40 + rank, rank)  # not of one moment
    training.interrupt(job)
    point = find_resume_point(training.plan())
    assert point.done == 10
    assert point.arguments == (
        "--load_checkpoint", str(training.folder), "--resume_training", "sft_rank_0-1_10.ckpt",
        "--auto_trans_ckpt", "False",
    )  # fmt: skip


def test_what_stood_there_before_does_not_count(training):
    training.save("sft_rank_{}-1_50.ckpt", 50)
    training.interrupt(training.start())
    assert find_resume_point(training.plan()) is None


def test_other_settings_or_other_data_begin_anew(training, lab):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.interrupt(job)
    assert find_resume_point(training.plan()).done == 10
    training.config = "epochs: 4\n"
    assert find_resume_point(training.plan()) is None
    training.config = "epochs: 3\n"
    assert find_resume_point(training.plan("echo another command; sleep 60")) is None
    (lab.work / "data").write_text("other")
    assert find_resume_point(training.plan()) is None


def test_a_resumed_training_is_told_from_where_and_a_later_run_knows_it_as_done(training, lab):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.interrupt(job)
    plan = training.plan()
    point = find_resume_point(plan)
    job = training.start(plan.with_step("train", resume=point.arguments))
    assert f"args: {' '.join(point.arguments)}" in job.step_log("train").read_text()
    training.save("sft_rank_{}_1-3_9.ckpt", 90)
    (lab.work / "go").touch()
    assert lab.wait(job).outcome == "succeeded"
    assert find_resume_point(training.plan()) is None
    state = lab.wait(client.submit(lab.jobs_dir, training.plan()))
    assert [s.status for s in state.steps] == ["skipped", "skipped"]


def test_a_resumption_that_ends_before_it_saves_leaves_the_earlier_checkpoint(training, lab):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.interrupt(job)
    plan = training.plan()
    training.interrupt(training.start(plan.with_step("train", resume=find_resume_point(plan).arguments)))
    assert find_resume_point(training.plan()).done == 10


def test_a_training_whose_weights_were_not_loaded_is_no_beginning(training, lab):
    line = "Network parameters are not loaded: (['model.w'], [])"
    plan = training.plan(f'echo "{line}"; while [ ! -e go ]; do sleep 0.05; done')
    loaded = Output(path=str(lab.work), kind="weights_loaded")
    plan = plan.with_step("train", outputs=(*plan.step("train").outputs, loaded))
    job = training.start(plan)
    training.save("sft_rank_{}-1_10.ckpt", 10)
    (lab.work / "go").touch()
    assert "got nothing from the checkpoint" in lab.wait(job).reason
    assert find_resume_point(plan) is None


def test_an_attempt_that_left_nothing_does_not_hide_what_an_earlier_one_left(training):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.interrupt(job)
    training.interrupt(training.start())  # begun anew, and stopped at once
    assert find_resume_point(training.plan()).done == 10
    job = training.start()
    training.save("sft_rank_{}_1-1_4.ckpt", 4)
    training.interrupt(job)
    assert find_resume_point(training.plan()).done == 4  # the newest attempt that left something


def test_data_that_changes_while_a_resumption_waits_is_trained_on_from_the_beginning(training, lab, eventually):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    training.interrupt(job)
    plan = training.plan()
    plan = plan.with_step("train", resume=find_resume_point(plan).arguments)
    blocker = lab.step("one", "while [ ! -e go ]; do sleep 0.05; done").model_copy(update={"cwd": str(lab.home / "b")})
    first = client.submit(lab.jobs_dir, lab.plan(blocker, profile="first"))
    waiting = client.submit(lab.jobs_dir, plan, after=(first.id,))
    (lab.work / "data").write_text("other data")
    (lab.home / "b").mkdir(exist_ok=True)
    (lab.home / "b" / "go").touch()
    log = waiting.step_log("train")
    eventually(lambda: log.is_file() and log.read_text(), "it has started")
    assert "--resume_training" not in log.read_text()
    assert "train began anew" in client.read_state(waiting).notes[0]
    client.stop(waiting)


def test_while_a_job_of_the_profile_lives_nothing_is_offered(training, lab):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    plan = training.plan()
    assert client.find_offer(lab.jobs_dir, plan) is None
    training.interrupt(job)
    assert client.find_offer(lab.jobs_dir, plan).done == 10


@pytest.mark.parametrize("victim", ["leader", "supervisor"])
def test_after_a_crash_or_a_lost_supervisor_it_can_go_on(training, lab, victim):
    job = training.start()
    training.save("sft_rank_{}-1_10.ckpt", 10)
    state = lab.step_runs(job, "train")
    if victim == "supervisor":
        lab.kill_supervisor(job, "train")
    os.kill(state.step("train").process.pid, signal.SIGKILL)
    assert lab.wait(job).outcome == ("lost" if victim == "supervisor" else "failed")
    assert find_resume_point(training.plan()).done == 10
