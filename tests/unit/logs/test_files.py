"""Which logs a job has, and how many errors are in them."""

from __future__ import annotations

import os

import pytest

from sft_tui.core.plan import Plan, Step
from sft_tui.logs.error_count import ErrorCount
from sft_tui.logs.files import find_logs
from sft_tui.store.job_store import create_job


@pytest.fixture
def job(tmp_path):
    run = tmp_path / "run"
    train = Step(
        id="train", title="Train", argv=("true",), cwd=str(tmp_path), training_log=f"{run}/msrun/worker_1.log",
        env={"LOG_MF_PATH": f"{run}/log", "ASCEND_PROCESS_LOG_PATH": f"{run}/plog"},
    )  # fmt: skip
    inspect = Step(id="inspect", title="Inspect", argv=("true",), cwd=str(tmp_path))
    folder, _ = create_job(tmp_path / "jobs", Plan(profile="p", steps=(inspect, train)), stop_grace_seconds=1)
    for name in (
        "msrun/scheduler.log", "msrun/worker_0.log", "msrun/worker_10.log", "msrun/worker_9.log", "log/rank_0/info.log",
        "log/rank_0/error.log", "plog/debug/plog/plog-77_1.log", "plog/notes.md",
    ):  # fmt: skip
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n")
    folder.step_log("inspect").parent.mkdir(exist_ok=True)
    for step in ("inspect", "train"):
        folder.step_log(step).write_text("x\n")
    os.mkfifo(run / "msrun/worker_2.log")
    (run / "log/again").symlink_to(run)
    return folder


def test_all_logs_of_a_job_are_found_in_the_order_of_its_steps(job):
    found = [(f.step, f.writer, f.name, f.rank) for f in find_logs(job)]
    assert found[:9] == [
        ("inspect", "sft-tui", "inspect.log", None),
        ("train", "sft-tui", "train.log", None),
        ("train", "msrun", "scheduler.log", None),
        ("train", "msrun", "worker_0.log", 0),
        ("train", "msrun", "worker_9.log", 9),
        ("train", "msrun", "worker_10.log", 10),
        ("train", "MindFormers", "rank_0/error.log", 0),
        ("train", "MindFormers", "rank_0/info.log", 0),
        ("train", "CANN", "debug/plog/plog-77_1.log", None),
    ]


def test_errors_are_counted_by_line_as_the_file_grows(tmp_path):
    path = tmp_path / "log"
    count = ErrorCount(path)
    assert count.read(1 << 20) == 0 and count.errors == 0
    line = "[ERROR] ME(1,python):2026-11-24-10:00:00.000.000 [a.cc:1] it says [ERROR] twice\n"
    path.write_text(f"[INFO] fine\n{line}Traceback (most recent call last):\n  a - ERROR - b\n[ERR")
    count.read(1 << 20)
    assert count.errors == 3 and count.is_complete
    with path.open("a") as file:
        file.write("OR] torn\nnothing\n")
    count.read(1 << 20)
    assert count.errors == 4
    path.write_text("[INFO] cut\n")
    count.read(1 << 20)
    assert count.errors == 0, "a file that was cut begins anew"


def test_a_large_file_is_counted_in_pieces(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"[INFO] fine\n" * 100_000 + b"[ERROR] late\n")
    count = ErrorCount(path)
    count.read(1 << 18)
    assert not count.is_complete and count.errors == 0
    while count.read(1 << 18):
        pass
    assert count.is_complete and count.errors == 1
