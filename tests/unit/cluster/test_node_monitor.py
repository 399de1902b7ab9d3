"""Hosts that are watched: this one, one behind a stub of ssh, and those that fall silent or have another clock."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from sft_tui.cluster import node_monitor
from sft_tui.cluster.node_monitor import NodeMonitor, NodeView, WatchedNode
from sft_tui.core.nodes import Node
from sft_tui.monitor.sample_json import HostSample
from sft_tui.monitor.snapshot import NpuSnapshot, NpuTable

TABLE = Path(__file__).parents[2] / "data" / "npu_smi" / "info_25.2.0_A3_4dies_procs.txt"
DEADLINE = 30.0


class Watch:
    """A monitor in a thread, and what it told."""

    def __init__(self, *nodes):
        self.views = ()
        self.tellings = 0
        self.monitor = NodeMonitor(nodes, self._take)
        self.thread = threading.Thread(target=self.monitor.run, daemon=True)
        self.thread.start()

    def _take(self, views):
        self.views, self.tellings = views, self.tellings + 1

    def until(self, look, what):
        deadline = time.monotonic() + DEADLINE
        while not (self.views and look(self.views)):
            assert time.monotonic() < deadline, (what, self.views)
            time.sleep(0.02)

    def close(self):
        self.monitor.close()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Watches hosts, with a stub npu-smi and a stub ssh that runs the command on this host."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (
        ("npu-smi", f"echo $PPID > {tmp_path}/sampler; cat {TABLE}"),
        ("ssh", 'for word; do last=$word; done; exec sh -c "$last"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(node_monitor, "FIRST_PAUSE", 0.05)
    opened = []

    def start(*nodes):
        opened.append(Watch(*nodes))
        return opened[-1]

    start.bin = folder
    yield start
    for one in opened:
        one.close()


def here(name="here"):
    return WatchedNode(name, Node(host="localhost"), paths=("/",))


def there(name="node7"):
    return WatchedNode(name, Node(host="192.0.2.7"), python=sys.executable)


def devices(view):
    return view.sample.npus.devices if view.sample else ()


def test_this_host_and_one_over_ssh_send_samples_and_one_that_dies_is_asked_again(watch, tmp_path):
    watched = watch(here(), there())
    watched.until(lambda views: all(len(devices(view)) == 4 for view in views), "both")
    assert watched.views[0].sample.host.disks[0].path == "/"
    assert [view.problem for view in watched.views] == ["", ""]
    assert [view.age(time.monotonic()) < DEADLINE for view in watched.views] == [True, True]
    sampler = int((tmp_path / "sampler").read_text())
    heard = [view.heard_at for view in watched.views]
    os.kill(sampler, signal.SIGKILL)
    watched.until(lambda views: any(view.problem for view in views), "it is said")
    assert all(len(devices(view)) == 4 for view in watched.views), "the last sample stays"
    watched.until(lambda views: all(not v.problem and v.heard_at > h for v, h in zip(views, heard)), "both again")


def test_one_that_cannot_be_reached_and_one_without_sft_tui_say_why(watch):
    (watch.bin / "ssh").write_text(
        "#!/bin/sh\ncase \"$*\" in *192.0.2.8*) echo 'ssh: connect: Connection refused' >&2; exit 255;; esac\n"
        "echo 'Welcome to node 7'; echo '{\"devices\": 1}'; echo 'sft-tui was not found there' >&2; exit 127\n"
    )
    refused = WatchedNode("node8", Node(host="192.0.2.8"))
    watched = watch(there(), refused)
    watched.until(lambda views: all(view.problem for view in views), "both are told")
    assert "sft-tui was not found there" in watched.views[0].problem
    assert "nothing answers on its SSH port" in watched.views[1].problem
    assert [view.sample for view in watched.views] == [None, None]


def test_one_that_is_silent_and_one_that_floods_are_cut_off(watch, monkeypatch):
    monkeypatch.setattr(node_monitor, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(node_monitor, "LONGEST_LINE", 100_000)
    (watch.bin / "ssh").write_text(
        "#!/bin/sh\ncase \"$*\" in *192.0.2.8*) exec sleep 61;; esac\nexec tr '\\0' x < /dev/zero\n"
    )
    watched = watch(there(), WatchedNode("node8", Node(host="192.0.2.8")))
    watched.until(lambda views: all(view.problem for view in views), "both are told")
    assert "a line without an end" in watched.views[0].problem
    assert "has said nothing" in watched.views[1].problem


def sample(taken_at, age=0.0):
    return HostSample(NpuSnapshot(taken_at, 1.0, NpuTable("25", (), True)), None, age)


def test_ages_go_by_the_steady_clock_and_clocks_that_differ_or_jump_are_told():
    view = NodeView(0, "node0").hear(sample(1000.0, age=2.0), now=50.0, clock=1002.0)
    assert (view.age(53.0), view.clock_ahead, view.clock_jumped) == (5.0, 0.0, 0.0)
    view = view.hear(sample(4605.0), now=55.0, clock=1005.0)
    assert (view.age(55.0), view.clock_ahead, view.clock_jumped) == (0.0, 3600.0, 3600.0)
    view = view.hear(sample(4607.0), now=57.0, clock=1007.0)
    assert (view.clock_ahead, view.clock_jumped) == (3600.0, 3600.0), "the jump stays told"
    other = NodeView(1, "node1").hear(sample(900.0), now=50.0, clock=1000.0)
    assert (other.clock_ahead, other.clock_jumped, other.age(51.0)) == (-100.0, 0.0, 1.0)
