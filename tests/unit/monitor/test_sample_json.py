"""Samples go through lines of JSON unchanged, and what comes instead of them does no harm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.monitor.host import HostSampler, measure_disks
from sft_tui.monitor.npu_smi import parse_npu_smi_info
from sft_tui.monitor.sample_json import LONGEST_LINE, HostSample, describe_sample, parse_line, parse_sample
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuSnapshot, NpuUnavailable

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "npu_smi").glob("*.txt"))


def sample_of(text):
    return HostSample(NpuSnapshot(1_700_000_000.25, 0.8, parse_npu_smi_info(text)), None, 1.5)


def line_of(sample):
    return json.dumps(describe_sample(sample)).encode()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_layout_and_error_arrives_as_it_was_sent(path):
    sample = sample_of(path.read_text(encoding="utf-8"))
    assert parse_line(line_of(sample)) == sample


def test_host_owners_and_what_was_not_read_arrive(tmp_path):
    host = HostSampler().sample(measure_disks([str(tmp_path), str(tmp_path / "not" / "there"), "relative"]))
    assert len({disk.path for disk in host.disks}) == len(host.disks) >= 1
    sample = replace(sample_of(SAMPLES[-1].read_text()), host=host)
    device = replace(
        sample.npus.devices[0], processes=(NpuProcess(7, "python", 90, None, "ann", "3-demo"),), unread=("power_w",)
    )
    reading = replace(sample.npus.reading, devices=(device,))
    sample = replace(sample, npus=replace(sample.npus, reading=reading))
    assert parse_line(line_of(sample)) == sample


@pytest.mark.parametrize(
    "line", [b"", b"Welcome to node7", b"[1]", b"{}", b'{"taken_at": "now", "devices": []}', b"\xff"]
)
def test_what_a_login_file_prints_is_no_sample(line):
    assert parse_line(line) is None


def test_a_line_without_bounds_is_no_sample():
    assert parse_line(b" " * LONGEST_LINE + line_of(sample_of(""))) is None
    assert parse_line(b"[" * 100_000) is None


def test_another_version_is_said_and_nothing_is_taken_from_it():
    data = describe_sample(sample_of(SAMPLES[-1].read_text()))
    reading = parse_sample({**data, "schema_version": 2}).npus.reading
    assert isinstance(reading, NpuUnavailable) and "another version" in reading.reason


def test_what_a_host_writes_cannot_draw_on_this_terminal():
    data = describe_sample(sample_of(SAMPLES[-1].read_text()))
    data["devices"][0]["name"] = "\x1b]0;owned\x07910B"
    assert parse_sample(data).npus.devices[0].name == "910B"


JUNK = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_value_of_another_type_is_not_available(data):
    sent = describe_sample(sample_of(data.draw(st.sampled_from(SAMPLES)).read_text()))
    for target in (sent, *(sent["devices"] or [])):
        for name in data.draw(st.lists(st.sampled_from(sorted(target)), max_size=4)):
            target[name] = data.draw(JUNK)
    found = parse_sample(sent)
    if found is None:
        return
    for device in found.npus.devices:
        assert isinstance(device, NpuDevice) and type(device.npu_id) is int
        for name in ("power_w", "temperature_c", "utilisation_percent", "hbm_used_mb", "index"):
            value = getattr(device, name)
            assert value is None or (type(value) in (int, float) and value == value)
        assert device.processes is None or all(isinstance(p, NpuProcess) for p in device.processes)
