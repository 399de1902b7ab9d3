from __future__ import annotations

from sft_tui.logs.worker_logs import rank_of_log, worker_logs


def test_the_rank_is_in_the_name_of_the_log(tmp_path):
    assert [rank_of_log(tmp_path / name) for name in ("worker_0.log", "worker_12.log", "train.log")] == [0, 12, 0]


def test_logs_of_an_earlier_run_with_more_workers_are_left_out(tmp_path):
    for rank in (0, 2, 10, 11, 15):
        (tmp_path / f"worker_{rank}.log").touch()
    (tmp_path / "scheduler.log").touch()
    found = [path.name for path in worker_logs(tmp_path / "worker_11.log")]
    assert found == ["worker_0.log", "worker_2.log", "worker_10.log", "worker_11.log"]
