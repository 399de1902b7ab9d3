"""`sft-tui diagnose` as a user meets it."""

from __future__ import annotations

import json
import os

import pytest

from sft_tui.cli import run_command

OOM = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB\x1b]0;title\x07\x1b[31m"
FIELDS = {"category", "sure", "rank", "host", "file", "line", "quote", "code", "remedy_en", "remedy_zh", "louder"}


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "node1" / "msrun_log"
    folder.mkdir(parents=True)
    (folder / "worker_2.log").write_text(f"fine\n{OOM}\n")
    for rank in (0, 1):
        (folder / f"worker_{rank}.log").write_text("EI0002: The wait execution of the Notify register times out.\n" * 5)
    return tmp_path


def test_one_object_and_nothing_else(logs, sft_process):
    result = sft_process("diagnose", logs, "--json")
    fields = json.loads(result.stdout)
    assert result.returncode == 0 and set(fields) >= FIELDS
    assert (fields["category"], fields["sure"], fields["rank"], fields["host"]) == ("oom_device", True, 2, "node1")
    assert (fields["file"], fields["line"]) == ("node1/msrun_log/worker_2.log", 2)
    assert fields["louder"][0]["code"] == "EI0002" and fields["louder"][0]["count"] == 5 * 2


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["First cause: the device ran out of memory", "rank 2, node1", "sure:"]),
        ("zh", ["首因：设备显存不足", "2 号卡"]),
    ],
)
def test_a_dozen_lines_for_people(logs, capsys, lang, words):
    assert run_command(["diagnose", str(logs), "--lang", lang]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 12
    assert "\x1b" not in said and "title" not in said
    assert [word for word in words if word not in said] == []


def test_chinese_where_the_terminal_is(logs, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    run_command(["diagnose", str(logs)])
    assert "首因" in capsys.readouterr().out


def test_healthy_and_empty(tmp_path, capsys):
    assert run_command(["diagnose", str(tmp_path)]) == 0
    assert "no log" in capsys.readouterr().out
    (tmp_path / "worker_0.log").write_text("2026-01-01 10:00:00,000 - mindformers - INFO - all is well\n")
    assert run_command(["diagnose", str(tmp_path)]) == 0
    assert "Nothing failed" in capsys.readouterr().out
    assert run_command(["diagnose", str(tmp_path), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["category"], fields["sure"], fields["failed"], fields["suspicious"]) == ("unknown", False, False, [])


def test_not_known_shows_where_it_began(tmp_path, capsys):
    line = "[ERROR] X(1,2,python):2026-01-01-10:00:00.000.000 [a.cc:1] Run] something odd has failed\n"
    (tmp_path / "worker_4.log").write_text(line)
    assert run_command(["diagnose", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "not known" in said and "rank 4, worker_4.log:1: something odd has failed" in said


@pytest.mark.parametrize("target", ["/nothing/here", "no-such-job", ""])
def test_what_is_not_there(target, home, capsys):
    assert run_command(["diagnose", target]) == 2
    assert "sft-tui: error" in capsys.readouterr().err


def test_a_fifo_is_not_waited_for(tmp_path, sft_process):
    os.mkfifo(tmp_path / "pipe")
    assert sft_process("diagnose", tmp_path / "pipe", timeout=20).returncode == 2
    result = sft_process("diagnose", tmp_path, timeout=20)
    assert result.returncode == 0 and "no regular file" in result.stderr
