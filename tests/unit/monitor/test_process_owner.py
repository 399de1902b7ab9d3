"""Whose a process is, by a /proc of files."""

from __future__ import annotations

import os
import pwd

import pytest

from sft_tui.monitor.process_owner import name_owners
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "proc"
    (folder / "self/ns").mkdir(parents=True)

    def write(pid, comm, environ=b""):
        (folder / str(pid)).mkdir()
        (folder / str(pid) / "comm").write_text(f"{comm}\n")
        (folder / str(pid) / "environ").write_bytes(environ)

    def namespace(number):
        (folder / "self/ns/pid").unlink(missing_ok=True)
        (folder / "self/ns/pid").symlink_to(f"pid:[{number}]")

    namespace(4026531836)
    folder_and = type("Proc", (), {"path": folder, "write": staticmethod(write), "namespace": staticmethod(namespace)})
    return folder_and


def owner(proc, process):
    (device,) = name_owners((NpuDevice(0, 0, 0, processes=(process,)),), proc.path)
    (found,) = device.processes
    return found.user, found.job


def test_a_process_of_a_job_is_ours_and_another_is_foreign(proc):
    proc.write(10, "python", b"A=1\0SFT_TUI_JOB=/state/jobs/5-demo\0B=2\0")
    proc.write(11, "python", b"NOT_SFT_TUI_JOB=/x\0")
    assert owner(proc, NpuProcess(10, "python3.11", 100)) == (ME, "5-demo")
    assert owner(proc, NpuProcess(11, None, 100)) == (ME, "")


def test_one_that_is_gone_is_nobodys(proc):
    assert owner(proc, NpuProcess(12, "python", 100)) == (None, None)
    assert owner(proc, NpuProcess(None, "python", 100)) == (None, None)


def test_in_a_container_a_pid_of_the_host_is_not_taken_for_one_of_ours(proc):
    proc.namespace(4026532000)
    proc.write(10, "sshd", b"SFT_TUI_JOB=/state/jobs/5-demo\0")
    proc.write(31, "hlt_host_devmm_", b"SFT_TUI_JOB=/state/jobs/6-demo\0")
    assert owner(proc, NpuProcess(10, "python", 100)) == (None, None)
    assert owner(proc, NpuProcess(10, None, 100)) == (None, None)
    assert owner(proc, NpuProcess(10, "hlt_host_devmm_x", 100, 31)) == (ME, "6-demo")


def test_what_is_not_told_stays_so(proc):
    (device, other) = name_owners((NpuDevice(0, 0, 0), NpuDevice(1, 1, 0, processes=())), proc.path)
    assert (device.processes, other.processes) == (None, ())
