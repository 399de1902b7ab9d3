"""Time, level, rank and host of log lines."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.logs.stamp import host_of_path, rank_of_path, read_stamp


def seconds(*parts, fraction=0.0):
    return (datetime(*parts) - datetime(1970, 1, 1)).total_seconds() + fraction


TIME = seconds(2026, 11, 24, 3, 49, 19, fraction=0.447196)


@pytest.mark.parametrize(
    ("line", "time", "level"),
    [
        ("[ERROR] DISTRIBUTED(5197,7f3f,python):2026-11-24-03:49:19.447.196 [a.cc:1] x", TIME, "error"),
        ("[WARNING] ME(5197:139,MainProcess):2026-11-24-03:49:19.447.196 [a.py:1] x", TIME, "warning"),
        ("2026-11-24 03:49:19,447 - mindformers./output/log[a.py:3] - INFO - x", TIME - 0.000196, "info"),
        ("[PID: 3480365] 2026-11-24-03:49:19.447.196 Execution_Error_SDMA(EI0012): x", TIME, ""),
        ("[ERROR] 2026-11-24-03:49:19 (PID:6038, Device:0, RankID:-1) ERR00100 x", TIME - 0.447196, "error"),
        ("2026-11-24T03:49:19.447196+08:00|warning|kernel[-]|x", TIME, ""),
        ("ERROR 04-10 11:26:01 engine.py:140] x", None, "error"),
        ("[rank0]:[W326 11:49:12.33 compiler_depend.ts:133] Warning: x", None, "warning"),
        ("E0111 03:29:15.700191 1 queue_controller.go:258] x", None, "error"),
        ("/usr/lib/x.py:21: UserWarning: x", None, "warning"),
        ("INFO:root:x", None, "info"),
        ("[2026-11-24 03:49:19.447196] [error] [36815] [hccl_runner.cpp:132] x", TIME, "error"),
        ("[ERROR] HCCL(1265,):2025-02-31 07:56:47.198 [a.cc:7] x", None, "error"),
        ("plain", None, ""),
    ],
)
def test_stamps(line, time, level):
    stamp = read_stamp(line)
    assert stamp.level == level
    assert stamp.time == (None if time is None else pytest.approx(time, abs=1e-6))


def test_rank_and_host_of_a_line():
    assert read_stamp("[rank13]: Traceback").rank == 13
    assert read_stamp("[ERROR] 2026-11-24-03:49:19 (PID:1, Device:0, RankID:101) x").rank == 101
    assert read_stamp("[ERROR] 2026-11-24-03:49:19 (PID:1, Device:0, RankID:-1) x").rank is None
    assert read_stamp("(WorkerDict pid=7435, ip=172.16.22.183) x").host == "172.16.22.183"
    assert read_stamp("Mar 18 22:03:09 node7 kernel: x").host == "node7"


@pytest.mark.parametrize(
    ("path", "rank"),
    [
        ("msrun_log/worker_3.log", 3), ("log/rank_12/info.log", 12), ("rank_0.log", 0), ("worker-7.txt", 7),
        ("scheduler.log", None), ("plog/plog-3003627_20260205.log", None), ("a_framework_3.log", None),
    ],
)  # fmt: skip
def test_rank_of_a_file(path, rank):
    assert rank_of_path(path) == rank


def test_host_of_a_file():
    assert host_of_path("node1/msrun_log/worker_3.log") == "node1"
    assert host_of_path("192.0.2.7/worker_3.log") == "192.0.2.7"
    assert host_of_path("msrun_log/worker_3.log") == ""


@given(st.text())
def test_any_text_has_a_stamp(text):
    assert read_stamp(text).level in ("", "debug", "info", "warning", "error")
