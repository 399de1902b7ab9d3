"""The devices screen: this host by its sampler, and 64 hosts that are told."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sft_tui.cluster.node_monitor import NodeMonitor, NodeView, WatchedNode
from sft_tui.core.nodes import Node
from sft_tui.core.profile import Profile
from sft_tui.monitor.host import DiskSpace, HostLoad
from sft_tui.monitor.sample_json import HostSample
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuSnapshot, NpuTable, NpuUnavailable
from sft_tui.tui.screens import devices
from sft_tui.tui.screens.devices import DevicesScreen, NodesSampled, watched_nodes
from tests.tui.conftest import Driver

TABLE = Path(__file__).parents[1] / "data" / "npu_smi" / "info_25.2.0_A3_4dies_procs.txt"
NOW = 1000.0
HOST = HostLoad(
    42.0, 3.5, 192, 210_000_000_000, 1_500_000_000_000, 3_200_000_000_000,
    (DiskSpace("/data/sft", 3_200_000_000_000, 10_000_000_000_000),), 1_200_000.0, 3_400_000.0,
)  # fmt: skip
OURS = NpuProcess(124528, "python3.11", 17400, None, "ann", "5-demo")
FOREIGN = NpuProcess(998, "python3.8", 400, None, "bob", "")
UNKNOWN = NpuProcess(37656, "hlt_host_devmm_", 686)


def well(index, rng, **changes):
    hbm, use = rng.randrange(65_536), float(rng.randrange(101))
    device = NpuDevice(index, index, 0, "910B2C", "OK", 88.6, 51.0, use, hbm, 65_536, processes=())
    return replace(device, **changes)


def view_of(place, *table_devices, age=0.0, problem="", reading=None, **changes):
    reading = reading or NpuTable("25.2.0", table_devices, True)
    sample = HostSample(NpuSnapshot(1_700_000_000.0, 0.8, reading), HOST)
    return NodeView(place, f"train-node{place:02}", sample, NOW - age, problem, **changes)


def many():
    """64 hosts with 16 devices each, some of them in trouble."""
    rng = random.Random(7)
    views = [view_of(place, *(well(index, rng) for index in range(16))) for place in range(64)]
    views[40] = view_of(40, *(well(i, rng, health="Alarm" if i == 3 else "OK") for i in range(16)))
    views[7] = view_of(7, *(well(i, rng) for i in range(16)), age=100.0, problem="train-node07: it did not answer.")
    views[9] = view_of(9, *(well(i, rng, processes=(FOREIGN,) if i == 5 else ()) for i in range(16)))
    views[11] = view_of(11, *(well(i, rng, utilisation_percent=None) for i in range(16)))
    views[63] = NodeView(63, "train-node63", problem="train-node63: it refused the key.")
    denied = NpuUnavailable(
        "no permission", "npu-smi may not use the driver (code -8005)", "Put this user into a group."
    )
    views[62] = view_of(62, reading=denied)
    return tuple(views)


def detailed():
    """One host with a value of every state."""
    rng = random.Random(7)
    return view_of(
        0,
        well(0, rng, processes=(OURS, UNKNOWN)),
        well(1, rng, health="Alarm", power_w=None, processes=(FOREIGN,)),
        well(2, rng, temperature_c=None, unread=("temperature_c",), processes=None),
        well(3, rng, name="Ascend910", hbm_used_mb=None, hbm_total_mb=None, memory_used_mb=3, memory_total_mb=9),
        clock_ahead=-130.0,
    )


@pytest.fixture
def told(monkeypatch):
    """A screen of so many hosts, which are told what the test says, at a time that stands still."""
    stop = threading.Event()
    monkeypatch.setattr(NodeMonitor, "run", lambda self: stop.wait(60) and None)
    monkeypatch.setattr(devices, "monotonic", lambda: NOW + 2)

    async def show(wizard, *views):
        screen = DevicesScreen(tuple(WatchedNode(v.name, Node(host=v.name)) for v in views))
        wizard.app.push_screen(screen)
        await wizard.until(lambda: wizard.app.screen is screen and screen.is_mounted, "the screen")
        screen.post_message(NodesSampled(views))
        await wizard.pilot.pause()
        return screen

    yield show
    stop.set()


def _command_line(process):
    try:
        return process.cmdline()
    except psutil.Error:  # gone, or a zombie
        return []


@pytest.mark.parametrize("size", [(80, 24), pytest.param((200, 60), marks=pytest.mark.nightly)])
async def test_this_host_is_shown_at_once_and_its_sampler_ends_with_the_screen(
    open_wizard, sound, tmp_path, monkeypatch, size
):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npu-smi").write_text(f"#!/bin/sh\ncat {TABLE}\n")
    (folder / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    sound()
    async with open_wizard(size=size) as wizard:
        await wizard.press("f8")
        await wizard.until(lambda: "ctrl+d" in wizard.footer, "the key")
        await wizard.press("ctrl+d")
        await wizard.until(lambda: "10568/65536" in wizard.text, "the last device")
        assert "old, took" in wizard.text and "990711" in wizard.text
        await wizard.until(lambda: all(f"{word} " in wizard.text for word in ("host", "disk", "net")), "the host")
        [sampler] = [child for child in psutil.Process().children() if "monitor" in _command_line(child)]
        await wizard.press("escape")
        await wizard.until(lambda: wizard.step == "monitor" and "ctrl+d" in wizard.footer, "back")
        await wizard.until(lambda: not sampler.is_running(), "the sampler has ended")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((200, 60), marks=pytest.mark.nightly)])
async def test_all_devices_of_64_hosts_fit_the_screen_worst_first(open_wizard, profile, told, size):
    profile()
    async with open_wizard(size=size) as wizard:
        await told(wizard, *many())
        # two hosts have no devices to show
        assert "64 hosts, 992 NPUs  1 not OK" in wizard.text and "page 1" not in wizard.text
        assert "40 train-node40  sample 2 s old, took 0.8 s" in wizard.text, "the worst is marked"
        await wizard.press("down")
        await wizard.until(lambda: "7 train-node07  sample 1 min 42 s old" in wizard.text, "the next")
        assert "it did not answer" in wizard.words
        await wizard.press("enter")
        await wizard.until(lambda: "51 C~" in wizard.text and "pgup/pgdn" not in wizard.text, "its values")
        await wizard.press("escape")
        await wizard.until(lambda: "64 hosts" in wizard.text, "the strip again")
        await wizard.press("m")
        await wizard.until(lambda: "tenths of HBM" in wizard.text, "another measure")
        await wizard.press("home")
        await wizard.until(lambda: "40 train-node40" in wizard.words, "the worst again")


async def test_hosts_that_do_not_fit_are_on_further_pages(open_wizard, profile, told):
    profile()
    rng = random.Random(1)
    async with open_wizard() as wizard:
        await told(wizard, *(view_of(place, *(well(i, rng) for i in range(16))) for place in range(200)))
        assert "page 1 of 4" in wizard.text
        await wizard.press("pagedown")
        await wizard.until(lambda: "page 2 of 4" in wizard.text and "60 train-node60" in wizard.words, "the second")


async def test_one_host_says_the_state_of_every_value(open_wizard, profile, told):
    profile()
    async with open_wizard() as wizard:
        screen = await told(wizard, detailed())
        await wizard.until(lambda: "ours: job 5-demo" in wizard.text, "the job")
        rows = {line.split()[0]: line for line in wizard.text.splitlines() if line.strip()}
        assert "whose is not told" in rows["37656"] and "x foreign" in rows["998"]
        assert rows["1"].split()[2] == "Alarm" and " - " in rows["1"] and "x foreign" in rows["1"]
        assert rows["2"].split()[-4:] == ["?", "88.6", "W", "-"]
        assert "3/9" in rows["3"]
        assert "its clock is 2 min 10 s behind that of this host" in wizard.words
        unknown = NpuUnavailable("unknown layout", "this layout of npu-smi is not known", "", "| \u8bbe\u5907 |")
        screen.post_message(NodesSampled((view_of(0, reading=unknown),)))
        await wizard.until(lambda: "layout not known, please report" in wizard.words, "it is said")
        assert "\u8bbe\u5907" in wizard.text and "910B2C" not in wizard.text
        screen.post_message(NodesSampled((view_of(0, reading=NpuUnavailable("no npu-smi", "", "")),)))
        await wizard.until(lambda: "no NPU: the host alone" in wizard.text, "the host alone")


async def test_nothing_is_drawn_again_where_nothing_changed(open_wizard, profile, told, monkeypatch):
    profile()
    async with open_wizard() as wizard:
        screen = await told(wizard, *many())
        drawn = []
        monkeypatch.setattr(devices.TextBlock, "update", lambda self, content, **_: drawn.append(str(content)))
        screen.post_message(NodesSampled(many()))
        await wizard.pilot.pause()
        assert drawn == []
        changed = list(many())
        changed[20] = view_of(20, *(well(i, random.Random(3)) for i in range(16)))
        screen.post_message(NodesSampled(tuple(changed)))
        await wizard.pilot.pause()
        assert len(drawn) == 1, "one line of the strip"


def test_the_hosts_of_a_profile_are_watched(profile, saved):
    profile(
        nodes__hosts=[{"host": "a", "local_worker_num": 1}, {"host": "b", "local_worker_num": 1, "work_dir": "/b"}],
        environment__work_dir="/a", environment__python="/opt/python",
    )  # fmt: skip
    nodes = watched_nodes(Profile.model_validate(saved()))
    assert [(n.name, n.python, n.paths) for n in nodes] == [
        ("a", "/opt/python", ("/a",)),
        ("b", "/opt/python", ("/b",)),
    ]
    profile(environment__work_dir="/a", model__hf_dir="/m")
    (alone,) = watched_nodes(Profile.model_validate(saved()))
    assert alone.node.host == "localhost" and alone.paths[:2] == ("/a", "/m")
    assert watched_nodes(None)[0].name == "this host"


@pytest.mark.parametrize(
    "size", [(80, 24), pytest.param((200, 60), marks=pytest.mark.nightly)], ids=["80x24", "200x60"]
)
@pytest.mark.parametrize("what", ["strip", "one"])
def test_looks(snap_compare, profile, told, what, size):
    from sft_tui.tui.app import SftApp

    profile()
    views = many() if what == "strip" else (detailed(),)

    async def ready(pilot):
        await Driver(pilot.app, pilot).opened()
        screen = DevicesScreen(tuple(WatchedNode(v.name, Node(host=v.name)) for v in views))
        pilot.app.push_screen(screen)
        await pilot.pause()
        screen.post_message(NodesSampled(views))
        await pilot.pause()

    assert snap_compare(SftApp("first"), terminal_size=size, run_before=ready)
