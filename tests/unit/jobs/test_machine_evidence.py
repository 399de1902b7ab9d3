"""Counters of memory kills as the kernel writes them, and disks without room."""

import os

import pytest

from sft_tui.jobs.evidence.machine_evidence import MemoryKills, full_disk


@pytest.fixture
def machine(tmp_path):
    """A made /proc and cgroup tree; returns a function that sets the counters."""
    proc, root, log = tmp_path / "proc", tmp_path / "cgroup", tmp_path / "kmsg"
    (proc / "self").mkdir(parents=True)
    log.write_text("4,1,1,-;Memory cgroup out of memory: Killed process 11 (earlier) total-vm:1kB\n")

    def make(version, ours=0, all_of_it=0, inside_container=False):
        if version == 2:
            (proc / "self/cgroup").write_text("0::/user.slice/job\n")
            file = root / "user.slice/job/memory.events"
            text = f"low 0\nhigh 0\nmax 5\noom 7\noom_kill {ours}\noom_group_kill 0\n"
        else:
            (proc / "self/cgroup").write_text("5:devices:/\n4:memory:/docker/abc\n0::/\n")
            file = root / ("memory/memory.oom_control" if inside_container else "memory/docker/abc/memory.oom_control")
            text = f"oom_kill_disable 0\nunder_oom 0\noom_kill {ours}\n"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        (proc / "vmstat").write_text(f"nr_free_pages 9\noom_kill {all_of_it}\n")
        return lambda: MemoryKills(root, proc, log)

    make.log = log
    return make


@pytest.mark.parametrize(("version", "container"), [(2, False), (1, False), (1, True)])
def test_a_kill_in_our_cgroup_is_told(machine, version, container):
    kills = machine(version, ours=3, all_of_it=3, inside_container=container)()
    assert kills.describe() == ""
    machine(version, ours=5, all_of_it=5, inside_container=container)
    assert kills.describe() == "the kernel killed 2 processes of its cgroup for memory"
    kills.close()


def test_a_kill_elsewhere_on_the_machine_is_told_as_such(machine):
    kills = machine(2, ours=1, all_of_it=1)()
    machine(2, ours=1, all_of_it=2)
    assert kills.describe() == "the kernel killed a process of this machine for memory"
    kills.close()


def test_the_kernel_log_gives_the_name_of_what_was_killed_since(machine):
    kills = machine(2)()
    with machine.log.open("a") as log:
        log.write("4,2,9,-;Out of memory: Killed process 4242 (python) total-vm:99kB, anon-rss:9kB\n")
    machine(2, ours=1, all_of_it=1)
    assert kills.describe() == "the kernel killed a process of its cgroup for memory: process 4242 (python)"
    kills.close()


def test_where_nothing_can_be_read_nothing_is_claimed(tmp_path):
    kills = MemoryKills(tmp_path, tmp_path, tmp_path / "kmsg")
    assert kills.describe() == ""
    kills.close()


def test_a_disk_with_room_is_not_full_and_a_place_that_is_not_there_yet_counts_for_its_parent(tmp_path, monkeypatch):
    assert full_disk([str(tmp_path / "not" / "yet")]) == ""
    real = os.statvfs

    def small(place):
        values = list(real(place))
        values[4] = 0  # f_bavail
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", small)
    assert full_disk([str(tmp_path / "not" / "yet")]) == str(tmp_path)
