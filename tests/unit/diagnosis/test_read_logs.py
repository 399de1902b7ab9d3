"""What is read of a folder of logs, and what is left alone and said."""

from __future__ import annotations

import gzip
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.diagnosis.read_logs import BLOCK, read_files, read_logs
from sft_tui.diagnosis.verdict import Verdict, diagnose
from sft_tui.errors import InvalidInputError

OOM = b"RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB\n"


def test_an_empty_folder(tmp_path):
    evidence = read_logs(tmp_path)
    assert (evidence.files, evidence.notes(), diagnose(evidence.logs)) == (0, [], Verdict())


@pytest.mark.parametrize("name", ["gone", "fifo", "secret"])
def test_what_cannot_be_read_at_all(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "secret").mkdir(mode=0)
    if name == "secret" and os.access(tmp_path / "secret", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InvalidInputError, match=r"cannot be read|neither"):
        read_logs(tmp_path / name)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "a_fifo.log")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "a_socket.log"))
    (tmp_path / "loop.log").symlink_to(tmp_path / "loop.log")
    (tmp_path / "gone.log").symlink_to(tmp_path / "nothing")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "worker_0.log").write_bytes(OOM)
    (tmp_path / "same.log").symlink_to(tmp_path / "worker_0.log")
    evidence = read_logs(tmp_path)
    assert evidence.files == 1 and diagnose(evidence.logs).category == "oom_device"
    said = "\n".join(evidence.notes())
    assert "no regular file" in said and "symbolic links" in said and "link to one" in said and "gone.log" in said


def test_what_is_no_log_is_said(tmp_path):
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(OOM))
    (tmp_path / "packed.log").write_bytes(gzip.compress(OOM))
    (tmp_path / "core").write_bytes(b"\x7fELF\x00\x01" + OOM)
    (tmp_path / "train.py").write_bytes(b"raise " + OOM)
    evidence = read_logs(tmp_path)
    assert (evidence.files, diagnose(evidence.logs)) == (0, Verdict())
    said = "\n".join(evidence.notes())
    assert "2 files" in said and "packed" in said and "not text" in said and "train.py" in said


def test_a_single_file_that_is_packed_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(OOM))
    with pytest.raises(InvalidInputError, match="packed"):
        read_logs(tmp_path / "a.gz")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_lines_are_counted_over_blocks(tmp_path, end):
    filler = b"".join(b"[INFO] HCCL(%d,python): a line of some length, as there are many\n" % i for i in range(40_000))
    assert len(filler) > 2 * BLOCK
    (tmp_path / "worker_5.log").write_bytes(filler + OOM.strip() + end)
    verdict = diagnose(read_logs(tmp_path).logs)
    assert (verdict.line, verdict.rank, verdict.category) == (40_001, 5, "oom_device")


def test_long_lines_odd_bytes_and_progress_bars(tmp_path):
    bar = b"\r".join(b" %d%%|##   | 1/2" % i for i in range(100)) + b"\r" + OOM
    (tmp_path / "worker_1.log").write_bytes(b"x" * (3 << 20) + b"\n\xff\xfe error \x1b[31m\n" + bar)
    verdict = diagnose(read_logs(tmp_path).logs)
    assert (verdict.category, verdict.line) == ("oom_device", 3)
    assert "\x1b" not in verdict.quote and "\r" not in verdict.quote


def test_an_unstamped_line_has_the_time_of_the_one_before(tmp_path):
    stamp = b"[INFO] X(1,2,python):2026-01-01-10:0%d:00.000.000 [a.cc:1] x\n"
    (tmp_path / "worker_0.log").write_bytes(stamp % 2 + b"Traceback\n" + OOM)
    (tmp_path / "worker_1.log").write_bytes(stamp % 1 + b"OSError: [Errno 28] No space left on device\n")
    verdict = diagnose(read_logs(tmp_path).logs)
    assert (verdict.category, verdict.rank, verdict.sure) == ("disk_full", 1, True)


def test_many_files(tmp_path):
    for i in range(1500):
        (tmp_path / f"rank_{i}.log").write_bytes(b"[INFO] fine\n" if i != 700 else OOM)
    evidence = read_logs(tmp_path)
    assert (evidence.files, diagnose(evidence.logs).rank) == (1500, 700)


def test_the_time_for_it_is_bounded(tmp_path):
    (tmp_path / "a.log").write_bytes(OOM)
    evidence = read_files([tmp_path / "a.log"], tmp_path, seconds=-1.0)
    assert evidence.out_of_time and evidence.files == 0 and "time was up" in evidence.notes()[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_no_bytes_are_too_odd(tmp_path, data):
    (tmp_path / "worker_0.log").write_bytes(data)
    assert diagnose(read_logs(tmp_path).logs).category


def test_the_rank_of_a_worker_that_msrun_names_by_its_process(tmp_path):
    started = (
        "[WARNING] DISTRIBUTED({pid},7f7a,python):2026-11-24-22:55:53.621.861 [x.cc:431] PostProcess] "
        "This node {n} rank id: {n}\n"
    )
    for rank in range(2):
        (tmp_path / f"worker_{rank}.log").write_text(started.format(pid=700 + rank, n=rank))
    (tmp_path / "train.log").write_text(
        "[ERROR] ME(24792:139,MainProcess):2026-11-24-22:56:03.970.00 [_api.py:362] Worker process 701 exit with "
        "exception. Error code: -9.\n"
    )
    verdict = diagnose(read_logs(tmp_path).logs)
    assert (verdict.category, verdict.sure, verdict.rank) == ("worker_killed", True, 1)
