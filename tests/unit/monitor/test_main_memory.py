"""The memory of a board without HBM is its DDR, wherever memory is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_tui.checks import examine
from sft_tui.commands.monitor import npu_lines
from sft_tui.monitor.device_view import memory_share
from sft_tui.monitor.npu_smi import sample_npus
from sft_tui.monitor.npu_smi_table import read_table
from sft_tui.monitor.snapshot import NpuDevice

SAMPLES = Path(__file__).parents[2] / "data" / "npu_smi"


@pytest.mark.parametrize(
    ("sample", "memory"),
    [
        ("info_22.0.4_310P3_id7_power_NA", (1805, 21527)), ("info_22.0.2_310P3_old_narrow", (931, 21534)),
        ("info_22.0.4_310Pvir01_vnpu_in_pod", (249, 2690)),
    ],
)  # fmt: skip
def test_a_310p_shows_its_memory_whatever_stands_beside_it(npu_smi, sample, memory):
    npu_smi(f"cat {SAMPLES / sample}.txt")
    snapshot = sample_npus(10)
    [device] = snapshot.devices
    assert device.main_memory_mb == memory
    assert f"{memory[0]}/{memory[1]} MB" in npu_lines(snapshot)[1]
    assert memory_share(device) == memory[0] / memory[1]
    examine._device_memory_gb.cache_clear()
    assert examine._device_memory_gb("npu-smi") == memory[1] / 1024
    examine._device_memory_gb.cache_clear()


def test_where_there_is_hbm_it_is_the_memory_though_it_cannot_be_read():
    table = read_table((SAMPLES / "info_25.5.1_910B2C_single_visible_id2.txt").read_text())
    assert table is not None and table.devices[0].main_memory_mb[1] == table.devices[0].hbm_total_mb
    both = NpuDevice(0, 0, 0, hbm_used_mb=None, hbm_total_mb=65536, memory_used_mb=1, memory_total_mb=2)
    assert both.main_memory_mb == (None, 65536)
