"""What each sample of `npu-smi info` says, read by eye.

A device: index, npu_id, chip_id, name, health, power, temperature, utilisation, HBM used and total, DDR used and total,
processes (None: not told) as (pid, name, MB, pid in the container).
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from sft_tui.monitor.npu_smi import parse_npu_smi_info
from sft_tui.monitor.snapshot import NpuDevice, NpuProcess, NpuTable

SAMPLES = Path(__file__).parents[2] / "data" / "npu_smi"

NO = None
HLT = "hlt_host_devmm_"


def _hlt(*pids):
    return [(pid, HLT, 686, NO) for pid in pids]


# file: version, whole, devices
DEVICES = {
    "info_20.2.0_atlas300I_310x4_onecard": (
        "20.2.0",
        True,
        [
            (0, 215, 0, "310", "OK", 12.8, 56, 0, NO, NO, 2703, 8192, NO),
            (1, 215, 1, "310", "OK", 12.8, 57, 0, NO, NO, 2703, 8192, NO),
            (2, 215, 2, "310", "OK", 12.8, 57, 0, NO, NO, 2703, 8192, NO),
            (3, 215, 3, "310", "OK", 12.8, 55, 0, NO, NO, 2703, 8192, NO),
        ],
    ),
    "info_21.0.4_310x4_onecard": (
        "21.0.4.B030",
        True,
        [
            (3, 6, 0, "310", "OK", 12.8, 73, 0, NO, NO, 2703, 8192, NO),
            (4, 6, 1, "310", "OK", 12.8, 74, 0, NO, NO, 2867, 8192, NO),
            (5, 6, 2, "310", "OK", 12.8, 70, 0, NO, NO, 2867, 8192, NO),
            (6, 6, 3, "310", "OK", 12.8, 65, 0, NO, NO, 2867, 8192, NO),
        ],
    ),
    "info_22.0.2_310P3_old_narrow": (
        "22.0.2",
        False,
        [(0, 0, 0, "310P3", "OK", 16.5, 55, 0, NO, NO, 931, 21534, NO)],
    ),
    "info_22.0.3.1_910A_x8_noproc": (
        "22.0.3.1",
        True,
        [
            (0, 0, 0, "910A", "OK", 67.2, 43, 0, 0, 32768, 1867, 15077, NO),
            (1, 1, 0, "910A", "OK", 63.3, 38, 0, 0, 32768, 1867, 15077, NO),
            (2, 2, 0, "910A", "OK", 64.8, 34, 0, 0, 32768, 1868, 15077, NO),
            (3, 3, 0, "910A", "OK", 191.7, 42, 0, 0, 32768, 1866, 15077, NO),
            (4, 4, 0, "910A", "OK", 66.4, 44, 0, 0, 32768, 1867, 15077, NO),
            (5, 5, 0, "910A", "OK", 62.7, 33, 0, 0, 32768, 1865, 15077, NO),
            (6, 6, 0, "910A", "OK", 64.5, 35, 0, 0, 32768, 1865, 15077, NO),
            (7, 7, 0, "910A", "OK", 191.4, 40, 0, 0, 32768, 1866, 15077, NO),
        ],
    ),
    "info_22.0.4_310P3_id7_power_NA": (
        "22.0.4",
        True,
        [(0, 7, 0, "310P3", "OK", NO, 28, 0, NO, NO, 1805, 21527, NO)],
    ),
    "info_22.0.4_310Pvir01_vnpu_in_pod": (
        "22.0.4",
        True,
        [(0, 7, 0, "310Pvir01", "OK", NO, 28, 0, NO, NO, 249, 2690, NO)],
    ),
    "info_23.0.0_310B4_orangepi_nohbm_alarm": (
        "23.0.0",
        True,
        [(0, 0, 0, "310B4", "Alarm", 0.0, 65, 0, NO, NO, 3628, 15609, NO)],
    ),
    "info_23.0.2.1_910B2C_x2_proc_trailingspace": (
        "23.0.2.1",
        True,
        [
            (0, 0, 0, "910B2C", "OK", 88.6, 51, 0, 20701, 65536, NO, NO, [(124528, "python3.8", 17400, NO)]),
            (1, 1, 0, "910B2C", "OK", 99.6, 50, 0, 20687, 65536, NO, NO, NO),
        ],
    ),
    "info_23.0.5_910A_docs_misaligned_warning_ellipsis": (
        "23.0.5",
        True,
        [
            (0, 0, 0, "xxx", "Warning", 73.1, 37, 0, 0, 32768, 920, 13553, []),
            (7, 7, 0, "xxx", "OK", 67.0, 38, 0, 0, 32768, 2346, 15567, []),
        ],
    ),
    "info_24.1.0_910A_named_910B_ddr_and_hbm_fragment": (
        "24.1.0",
        False,
        [
            (0, 0, 0, "910B", "OK", 70.0, 34, 0, 1365, 32768, 1197, 13553, NO),
            (1, 1, 0, "910B", "OK", 66.9, 34, 0, 4, 32768, 2411, 15665, NO),
        ],
    ),
    "info_24.1.RC2_910A_x8_warning_procs": (
        "24.1.RC2",
        True,
        [
            (0, 0, 0, "xxx", "OK", 70.5, 42, 0, 0, 32768, 4252, 15137, _hlt(37656, 37664, 37640, 37648)),
            (1, 1, 0, "xxx", "OK", 71.2, 36, 0, 0, 32768, 4666, 15137, _hlt(37665, 37641, 37649, 37657)),
            (2, 2, 0, "xxx", "OK", 69.0, 35, 0, 0, 32768, 4317, 15137, _hlt(37658, 37650, 37666, 37642)),
            (3, 3, 0, "xxx", "Warning", 206.9, 39, 0, 0, 32768, 3616, 15039, _hlt(37643, 37651, 37659, 37667)),
            (4, 4, 0, "xxx", "OK", 70.2, 39, 0, 0, 32768, 3708, 15137, _hlt(37668, 37644, 37652, 37660)),
            (5, 5, 0, "xxx", "OK", 64.9, 37, 0, 0, 32768, 4346, 15137, _hlt(37653, 37661, 37669, 37645)),
            (6, 6, 0, "xxx", "OK", 69.4, 40, 0, 0, 32768, 4261, 15137, _hlt(37646, 37654, 37662, 37670)),
            (7, 7, 0, "xxx", "Warning", 203.2, 42, 0, 0, 32768, 4521, 15039, _hlt(37671, 37647, 37655, 37663)),
        ],
    ),
    "info_25.2.0_A3_4dies_procs": (
        "25.2.0",
        True,
        [
            (0, 0, 0, "Ascend910", "OK", 162.8, 37, 0, 3133, 65536, NO, NO, []),
            (1, 0, 1, "Ascend910", "OK", NO, 37, 0, 2876, 65536, NO, NO, []),
            (2, 1, 0, "Ascend910", "OK", 167.1, 38, 0, 3116, 65536, NO, NO, []),
            (3, 1, 1, "Ascend910", "OK", NO, 38, 0, 10568, 65536, NO, NO, [(990711, "python", 7746, NO)]),
        ],
    ),
    "info_25.5.1_910B2C_single_visible_id2": (
        "25.5.1",
        True,
        [(2, 2, 0, "910B2C", "OK", 87.8, 31, 0, 3406, 65536, NO, NO, NO)],
    ),
    "info_25.7.rc1_950PR_fourcell_layout_fragment": (
        "25.7.rc1",
        True,
        [
            (0, 0, NO, "Ascend950PR", "OK", 215.0, 58, 0, 5407, 131072, NO, NO, NO),
            (1, 1, NO, "Ascend950PR", "OK", 208.8, 57, 0, 5903, 131072, NO, NO, NO),
        ],
    ),
    "info_26.0.rc2_A3_wide_fragments": (
        "26.0.rc2",
        True,
        [
            (0, 0, 0, "Ascend910", "OK", 162.6, 34, 0, 3419, 65536, NO, NO, NO),
            (1, 0, 1, "Ascend910", "OK", NO, 34, 0, 2874, 65536, NO, NO, NO),
        ],
    ),
    "info_docs_950_fourcell_noproc": (
        "x.x.x",
        False,
        [(0, 0, NO, "xxx", "OK", 204.4, 56, 0, 4439, 86016, NO, NO, [])],
    ),
}


def _device(*values):
    *values, processes = values
    return NpuDevice(*values, None if processes is None else tuple(NpuProcess(*p) for p in processes))


def test_every_sample_is_checked():
    assert sorted(path.stem for path in SAMPLES.glob("info_*.txt")) == sorted(DEVICES)


@pytest.mark.parametrize("name", DEVICES)
def test_sample(name):
    version, is_whole, devices = DEVICES[name]
    table = parse_npu_smi_info((SAMPLES / f"{name}.txt").read_text(encoding="utf-8"))
    assert isinstance(table, NpuTable)
    assert [astuple(found) for found in table.devices] == [astuple(_device(*device)) for device in devices]
    assert (table.version, table.is_whole, table.unknown_columns) == (version, is_whole, ())
    assert set(table.unread_lines) <= {"..."}
