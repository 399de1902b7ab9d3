"""States of values, one character for a device, the worst host first, and a page that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.monitor.device_view import (
    STALE_SECONDS,
    DeviceCell,
    device_cell,
    lay_out,
    node_cells,
    order_nodes,
    value_state,
)
from sft_tui.monitor.npu_smi import parse_npu_smi_info
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuSnapshot, NpuTable, NpuUnavailable

WELL = NpuDevice(0, 0, 0, "910B", "OK", 88.0, 50.0, 42.0, 30_000, 65_536, processes=())


def snapshot(*devices, whole=True):
    return NpuSnapshot(0.0, 1.0, NpuTable("25", devices, whole))


def cells(*devices, age=0.0, place=0, problem=""):
    return node_cells(place, f"node{place}", snapshot(*devices), age, problem, "use")


def test_every_value_has_its_state():
    here = snapshot(WELL)
    assert value_state(here, WELL, "power_w", 1.0) == "ok"
    assert value_state(here, WELL, "power_w", STALE_SECONDS + 1) == "stale"
    assert value_state(here, replace(WELL, power_w=None), "power_w", 1.0) == "unsupported"
    assert value_state(here, replace(WELL, power_w=None, unread=("power_w",)), "power_w", 1.0) == "unavailable"
    assert value_state(here, None, "power_w", 1.0) == "unavailable"
    cut = snapshot(WELL, whole=False)
    assert value_state(cut, replace(WELL, processes=None), "processes", 1.0) == "unavailable"
    denied = NpuSnapshot(0.0, 1.0, NpuUnavailable("no permission", "", ""))
    assert value_state(denied, None, "power_w", 1.0) == "no permission"
    silent = NpuSnapshot(0.0, 1.0, NpuUnavailable("no answer", "", ""))
    assert value_state(silent, None, "power_w", 1.0) == "unavailable"


def test_what_could_not_be_read_is_told_apart_from_what_is_not_told():
    header = "| NPU Name | Health | Power(W) Temp(C) |\n| Chip | Bus-Id | AICore(%) HBM-Usage(MB) |\n+====+\n"
    rows = "| 0 910B | OK | NA 32767 |\n| 0 | 0000:C1:00.0 | 7 5 / 65536 |\n"
    (device,) = parse_npu_smi_info(f"+----+\n{header}{rows}+====+\n").devices
    assert device.unread == ("temperature_c",)
    (device,) = parse_npu_smi_info(f"+----+\n{header}{rows[:45]}").devices
    assert {"utilisation_percent", "hbm_used_mb"} <= set(device.unread) and "power_w" not in device.unread


@pytest.mark.parametrize(
    ("changes", "stale", "cell"),
    [
        ({}, False, DeviceCell("4", "ok")),
        ({"utilisation_percent": 100.0}, False, DeviceCell("9", "ok")),
        ({"utilisation_percent": 0.0}, False, DeviceCell("0", "ok")),
        ({"utilisation_percent": None}, False, DeviceCell("?", "unavailable")),
        ({"health": "Alarm"}, True, DeviceCell("!", "bad")),
        ({}, True, DeviceCell("~", "stale")),
        ({"processes": (NpuProcess(1, "a", 1, job=""),)}, False, DeviceCell("x", "foreign")),
        ({"processes": (NpuProcess(1, "a", 1, job="5-demo"),)}, False, DeviceCell("4", "ok")),
        ({"processes": (NpuProcess(1, "a", 1),)}, False, DeviceCell("4", "ok")),
    ],
)
def test_a_device_in_one_character(changes, stale, cell):
    assert device_cell(replace(WELL, **changes), "use", is_stale=stale) == cell


def test_other_measures_and_a_board_without_hbm():
    assert device_cell(WELL, "HBM", is_stale=False).sign == "4"
    ddr = replace(WELL, hbm_used_mb=None, hbm_total_mb=None, memory_used_mb=900, memory_total_mb=1000)
    assert device_cell(ddr, "HBM", is_stale=False).sign == "9"
    assert device_cell(replace(WELL, temperature_c=200.0), "temperature", is_stale=False).sign == "9"
    assert device_cell(replace(WELL, temperature_c=-20.0), "temperature", is_stale=False).sign == "0"


def test_the_worst_host_comes_first_and_equals_keep_their_places():
    alarm, foreign = replace(WELL, health="Alarm"), replace(WELL, processes=(NpuProcess(1, "a", 1, job=""),))
    unread = replace(WELL, utilisation_percent=None)
    rows = [
        cells(WELL, WELL, place=0),
        cells(foreign, WELL, place=1),
        cells(unread, WELL, place=2),
        cells(WELL, age=99, place=3),
        cells(alarm, WELL, place=4),
        cells(alarm, alarm, place=5),
        node_cells(6, "gone", None, 0, "it did not answer", "use"),
        node_cells(7, "host alone", NpuSnapshot(0, 0, NpuUnavailable("no npu-smi", "", "")), 0, "", "use"),
        cells(WELL, WELL, place=8),
    ]
    assert [node.place for node in order_nodes(rows)] == [5, 4, 3, 6, 2, 1, 0, 7, 8]
    assert rows[6].note == "it did not answer" and rows[7].note == "no NPU"


def test_all_devices_of_64_hosts_fit_a_small_screen_and_have_names_on_a_large_one():
    small, large = lay_out(64, 16, 80, 20), lay_out(64, 16, 200, 56)
    assert small.per_page >= 64 and not small.shows_names
    assert large.per_page >= 64 and large.name_width == 16


@given(st.integers(1, 300), st.integers(0, 64), st.integers(20, 300), st.integers(1, 100))
def test_a_page_is_never_wider_than_the_screen_where_one_host_has_room(count, devices, width, rows):
    layout = lay_out(count, devices, width, rows)
    entry = layout.name_width + 1 + layout.cell_width
    assert layout.rows == rows and layout.columns >= 1
    assert layout.columns == 1 or layout.columns * (entry + 1) - 1 <= width
    assert (layout.columns - 1) * rows < count, "no column stays empty"
