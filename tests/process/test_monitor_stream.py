"""The sampler process leaves nothing behind: neither itself nor an npu-smi that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sft_tui.paths import PACKAGE_DIR

START = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, sys.argv[1], "monitor", "--json"], stdout=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(61)
"""


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """An npu-smi that hangs; what it is called with goes into a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npu-smi").write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/calls; exec sleep 61\n")
    (folder / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "calls"


def until(look, what):
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_over(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:  # gone, before or while it was read
        return True


def test_a_sampler_whose_reader_was_killed_ends_with_its_npu_smi(hanging):
    reader = subprocess.Popen([sys.executable, "-c", START, str(PACKAGE_DIR)], stdout=subprocess.PIPE, text=True)
    sampler = int(reader.stdout.readline())
    until(hanging.exists, "npu-smi is called")
    reader.kill()
    reader.wait()
    until(lambda: is_over(sampler) and is_over(int(hanging.read_text())), "both have ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_sampler_that_is_asked_to_end_ends_its_npu_smi(hanging, number):
    sampler = subprocess.Popen([sys.executable, str(PACKAGE_DIR), "monitor", "--json"], stdout=subprocess.PIPE)
    until(lambda: hanging.exists() and hanging.read_text().endswith("\n"), "npu-smi is called")
    sampler.send_signal(number)
    assert sampler.wait(20) == 3
    until(lambda: is_over(int(hanging.read_text())), "npu-smi has ended")
    os.close(sampler.stdout.fileno())
