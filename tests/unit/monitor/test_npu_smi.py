"""What is made of the answers of npu-smi that no sample shows: other layouts, cut ones, errors, none at all."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.monitor import short_run
from sft_tui.monitor.npu_smi import parse_npu_smi_info, sample_npus
from sft_tui.monitor.snapshot import NpuProcess, NpuTable, NpuUnavailable

SAMPLES = Path(__file__).parents[2] / "data" / "npu_smi"
INFO = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("info_*.txt"))}
A2 = INFO["info_23.0.2.1_910B2C_x2_proc_trailingspace"]
A3 = INFO["info_25.2.0_A3_4dies_procs"]

# the process table of 26.x, with values made for this test
WITH_CONTAINER_PIDS = """
+---------------------------+---------------+----------------------------------------------------------------------+
| NPU     Chip              | Process id    | Process name       | Process memory(MB)    | Process id in container |
+===========================+===============+======================================================================+
| 0       0                 | 485946        | python             | 5175                  | NA                      |
| 0       1                 | 485947        |                    | 5176                  | 31                      |
+===========================+===============+======================================================================+
"""


def test_pids_in_containers_and_blank_names():
    one, other = parse_npu_smi_info(INFO["info_26.0.rc2_A3_wide_fragments"] + WITH_CONTAINER_PIDS).devices
    assert one.processes == (NpuProcess(485946, "python", 5175, None),)
    assert other.processes == (NpuProcess(485947, None, 5176, 31),)


def test_a_process_of_the_four_cell_layout_belongs_to_its_npu():
    text = INFO["info_docs_950_fourcell_noproc"]
    idle = next(line for line in text.splitlines() if "No running" in line)
    (device,) = parse_npu_smi_info(text.replace(idle, "| 0 | 1001 | python | 256 |")).devices
    assert device.processes == (NpuProcess(1001, "python", 256),)


def test_a_process_of_no_shown_device_is_left_out_and_said():
    table = parse_npu_smi_info(A2.replace("| 0       0 ", "| 0       3 "))
    assert [device.processes for device in table.devices] == [None, None]
    assert table.unread_lines == (
        "| 0       3                 | 124528        | python3.8                | 17400                   |",
    )


def test_columns_are_found_by_their_words_in_any_order():
    table = parse_npu_smi_info(
        """
+-----+
| Health | Temp(C)  Power(W) | Name  NPU |
| HBM-Usage(MB)  AICore(%) | Chip | Bus-Id |
+=====+
| OK | 51 88.6 | 910B2C 4 |
| 20701/65536 7 | 0 | 0000:5A:00.0 |
+=====+
"""
    )
    (device,) = table.devices
    assert (device.npu_id, device.chip_id, device.health, device.name) == (4, 0, "OK", "910B2C")
    assert (device.power_w, device.temperature_c, device.utilisation_percent) == (88.6, 51, 7)
    assert (device.hbm_used_mb, device.hbm_total_mb) == (20701, 65536)


def test_an_unknown_column_is_named_and_does_not_shift_the_others():
    text = A2.replace("Temp(C)", "Fan(rpm)    Temp(C)").replace("88.6        51", "88.6        4200        51")
    table = parse_npu_smi_info(text.replace("99.6        50", "99.6        NA        50"))
    assert [(d.power_w, d.temperature_c) for d in table.devices] == [(88.6, 51), (99.6, 50)]
    assert table.unknown_columns == ("Fan(rpm)",)


def test_another_unit_is_another_column():
    table = parse_npu_smi_info(A2.replace("HBM-Usage(MB)", "HBM-Usage(GB)"))
    assert [d.hbm_used_mb for d in table.devices] == [None, None]
    assert [d.temperature_c for d in table.devices] == [51, 50]
    assert table.unknown_columns == ("HBM-Usage(GB)",)


@pytest.mark.parametrize("value", ["NA", "N/A", "-", "--"])
def test_what_is_not_available_is_none(value):
    first, _ = parse_npu_smi_info(A2.replace("20701/ 65536", value).replace("88.6", value)).devices
    assert (first.power_w, first.hbm_used_mb, first.hbm_total_mb, first.temperature_c) == (None, None, None, 51)
    first, _ = parse_npu_smi_info(A2.replace("20701/ 65536", f"{value} / 65536")).devices
    assert (first.hbm_used_mb, first.hbm_total_mb) == (None, 65536)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("| 88.6        51 ", "| 88.6        32767 ", "temperature_c"),
        ("| 88.6        51 ", "| 214748364.7 51 ", "power_w"),
        ("0000:5A:00.0  | 0 ", "0000:5A:00.0  | 4294967295 ", "utilisation_percent"),
        ("20701/ 65536", "65537/ 65536", "hbm_used_mb"),
        ("20701/ 65536", "0    / 0    ", "hbm_used_mb"),
    ],
)
def test_impossible_values_are_none(old, new, field):
    assert old in A2
    first, _ = parse_npu_smi_info(A2.replace(old, new)).devices
    assert getattr(first, field) is None


def test_a_row_with_a_value_missing_gives_none_of_its_values():
    table = parse_npu_smi_info(A2.replace("| 0           0    / 0          20701/ 65536", "| 0    / 0   20701/ 65536"))
    first, second = table.devices
    assert (first.health, first.power_w, first.hbm_used_mb, first.utilisation_percent) == ("OK", 88.6, None, None)
    assert second.hbm_used_mb == 20687
    # whose process it is depends on the chip, which stood in that row
    assert [line[:10] for line in table.unread_lines] == ["| 0       "] * 2
    assert first.processes is None


def test_a_row_that_was_cut_off_leaves_the_rest():
    lines = A3.splitlines()
    table = parse_npu_smi_info("\n".join(lines[:11])[:-3])
    assert [d.hbm_used_mb for d in table.devices] == [3133, None]
    assert [d.npu_id for d in table.devices] == [0, 0]
    assert not table.is_whole


UNKNOWN = [
    "| NPU | State |\n+=====+\n| 0 | fine |\n+=====+\n",
    "| 设备  名称 | 健康 | 功率(W) |\n+=====+\n| 0  910B | OK | 67.0 |\n+=====+\n",
    "| Name | Health | Power(W) |\n+=====+\n| 910B | OK | 67.0 |\n+=====+\n",
    "| NPU Temp(C) | Health | Temp(C) |\n+=====+\n| 0 51 | OK | 67.0 |\n+=====+\n",
    "| NPU Name | Health | Power(W) |\n+=====+\n| 0 910B | OK | 67.0 | 5 |\n+=====+\n",
]


@pytest.mark.parametrize("table", UNKNOWN)
def test_an_unknown_layout_is_shown_with_its_header(table):
    reading = parse_npu_smi_info(f"+-----+\n| npu-smi 31.0 Version: 31.0 |\n+-----+\n{table}")
    assert isinstance(reading, NpuUnavailable)
    assert reading.state == "unknown layout"
    assert "report" in reading.hint
    assert table.splitlines()[0] in reading.text
    assert "67.0" not in reading.text


@pytest.mark.parametrize(
    ("sample", "state", "words"),
    [
        ("err_8005_container_conLogLevel", "no permission", "HwHiAiUser"),
        ("err_8005_group_or_driver", "no permission", "HwHiAiUser"),
        ("err_8020_device_used_by_other_container", "in use", "container"),
        ("err_libdrvdsmi_missing_LD_LIBRARY_PATH", "missing library", "libdrvdsmi_host.so"),
    ],
)
def test_an_error_says_why_and_what_to_do(sample, state, words, npu_smi):
    text = (SAMPLES / f"{sample}.txt").read_text(encoding="utf-8")
    reading = parse_npu_smi_info(text)
    assert reading.state == state
    assert words in str(reading)
    assert reading.hint
    for stream in ("", " >&2"):
        npu_smi(f"cat '{SAMPLES / sample}.txt'{stream}; exit 1")
        assert sample_npus().reading.reason == reading.reason


def test_another_code_is_named():
    assert "code -9999" in parse_npu_smi_info("dcmi module initialize failed. ret is -9999\n").reason


def test_a_warning_beside_the_table_does_no_harm():
    table = parse_npu_smi_info(
        f"DrvMngGetConsoleLogLevel failed. (ret=4)\n{A2}[WARNING]The driver may be incomplete.\n"
    )
    assert len(table.devices) == 2
    assert table.is_whole
    assert len(table.unread_lines) == 2


def test_a_header_without_devices():
    header = "".join(A2.splitlines(keepends=True)[:6])
    table = parse_npu_smi_info(header)
    assert (table.devices, table.is_whole) == ((), True)
    assert parse_npu_smi_info(f"{header}dcmi module initialize failed. ret is -8005\n").state == "no permission"


def test_escape_sequences_do_not_get_through():
    table = parse_npu_smi_info(A2.replace("python3.8", "\x1b]0;x\x07\x1b[31mpy"))
    assert table.devices[0].processes[0].name == "py"
    assert "\x1b" not in parse_npu_smi_info("| \x1b[31mstrange |").text
    table = parse_npu_smi_info(A2.replace("20701", "20\x1b[31m701").replace("910B2C", "\x1b"))
    assert [(device.name, device.hbm_used_mb) for device in table.devices] == [(None, None), (None, 20687)]
    assert "\x1b" not in "".join(table.unread_lines)


def numbers_of(reading):
    for device in getattr(reading, "devices", ()):
        for value in vars(device).values():
            if isinstance(value, (int, float)):
                yield value
        for process in device.processes or ():
            yield from (v for v in vars(process).values() if isinstance(v, int))


def check(text):
    there = {float(number) for number in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", text)}
    assert {float(number) for number in numbers_of(parse_npu_smi_info(text))} <= there


@given(st.sampled_from(sorted(INFO)), st.integers(0, 7000), st.integers(0, 7000))
def test_cut_samples(name, start, end):
    text = INFO[name]
    check(text[:start])
    check(text[start:])
    check(text[:start] + text[end:])


@given(st.data())
def test_shuffled_samples(data):
    text = "".join(data.draw(st.lists(st.sampled_from(list(INFO.values())), min_size=1, max_size=2)))
    lines = text.splitlines(keepends=True)
    check("".join(data.draw(st.permutations(lines))))
    check("".join(data.draw(st.lists(st.sampled_from(lines), max_size=40))))
    words = re.split(r"(\s+|\|)", text[:2000])
    check("".join(data.draw(st.permutations(words))))


@given(st.text(alphabet="|+-=/ \n\t\x1b0123456789.AN%()NPUChipHealthOK\u0663\u00b2", max_size=400))
def test_noise(text):
    check(text)
    check(A2.replace("910B2C", text).replace("20701", text[:5]))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # gone, before or while it was read
        return False


def sample_file(name):
    return SAMPLES / f"{name}.txt"


def test_a_sample_has_its_time_and_its_cost(npu_smi, tmp_path):
    npu_smi(f'echo "$*" "$LC_ALL" >> {tmp_path}/calls; cat {sample_file("info_25.2.0_A3_4dies_procs")}; echo x >&2')
    before = time.time()
    snapshot = sample_npus()
    assert before <= snapshot.taken_at <= time.time() - snapshot.took_seconds + 0.1
    assert [device.index for device in snapshot.devices] == [0, 1, 2, 3]
    assert snapshot.reading.is_whole
    assert (tmp_path / "calls").read_text() == "info C\n"


def test_no_npu_smi(npu_smi):
    snapshot = sample_npus()
    assert (snapshot.reading.state, snapshot.devices) == ("no npu-smi", ())
    assert "no npu-smi on PATH" in snapshot.reading.reason


@pytest.mark.parametrize(
    "script", ["sleep 61", "trap '' TERM; echo '| NPU'; sleep 61 & wait", "exec >&- 2>&-; sleep 61"]
)
def test_one_that_hangs_is_ended_with_all_that_it_started(npu_smi, tmp_path, script):
    npu_smi(f"echo $$ > {tmp_path}/pid; {script}")
    snapshot = sample_npus(0.5)
    assert snapshot.reading.state == "no answer"
    assert "did not answer within 0.5 s" in snapshot.reading.reason
    assert snapshot.reading.left_running is None
    assert 0.5 <= snapshot.took_seconds < 3
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and group_lives(group):
        time.sleep(0.02)
    assert not group_lives(group)


def group_lives(group):
    def is_of_group(pid):
        with contextlib.suppress(ProcessLookupError):
            return os.getpgid(pid) == group and is_running(pid)

    return any(is_of_group(int(place.name)) for place in Path("/proc").iterdir() if place.name.isdigit())


def test_a_child_that_keeps_the_pipe_open_cannot_hold_us(npu_smi, tmp_path):
    npu_smi(f"sleep 61 & echo $! > {tmp_path}/pid; cat {sample_file('info_25.2.0_A3_4dies_procs')}")
    assert sample_npus(0.5).reading.state == "no answer"
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


def test_one_that_cannot_be_killed_is_not_waited_for(npu_smi, monkeypatch):
    kill = os.killpg
    refuse = Mock(side_effect=PermissionError)
    monkeypatch.setattr(short_run.os, "killpg", refuse)  # stands for a process that hangs in the driver
    monkeypatch.setattr(short_run, "KILL_SECONDS", 0.1)
    npu_smi("exec sleep 61")
    snapshot = sample_npus(0.3)
    kill(snapshot.reading.left_running, signal.SIGKILL)
    assert snapshot.took_seconds < 3
    assert f"could not be killed (pid {snapshot.reading.left_running})" in snapshot.reading.reason


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_flood_is_cut_short(npu_smi, stream):
    npu_smi(f"exec yes '| 0 910B | OK |' {stream}")
    snapshot = sample_npus(20)
    assert snapshot.reading.state == "no answer"
    assert "far more than a table" in snapshot.reading.reason
    assert snapshot.took_seconds < 10
    assert len(snapshot.reading.text) < 5000


def test_half_a_table_and_death(npu_smi):
    path = sample_file("info_25.2.0_A3_4dies_procs")
    npu_smi(f"head -n 12 {path}; exit 3")
    snapshot = sample_npus()
    assert [device.hbm_used_mb for device in snapshot.devices] == [3133, 2876]
    assert not snapshot.reading.is_whole
    npu_smi(f"head -n 9 {path}; kill -{int(signal.SIGSEGV)} $$")
    assert not sample_npus().reading.is_whole


@pytest.mark.parametrize(
    ("script", "first_line", "reason"),
    [
        ("exit 0", "#!/bin/sh", "printed nothing"),
        ("exit 7", "#!/bin/sh", "printed nothing (exit code 7)"),
        ("echo 'out of order' >&2; exit 7", "#!/bin/sh", "printed no table (exit code 7)"),
        ("printf '\\377\\376\\000'", "#!/bin/sh", "printed no table"),
        ("", "#!/no/such/shell", "could not be started"),
        ("", "\x7fELF nonsense", "could not be started"),
    ],
)
def test_one_that_fails_in_its_own_way(npu_smi, script, first_line, reason):
    npu_smi(script, first_line)
    reading = sample_npus().reading
    assert reading.state == "failed"
    assert reason in reading.reason


def test_a_name_that_cannot_be_trusted_is_not_run(npu_smi, tmp_path):
    (tmp_path / "bin" / "npu-smi").mkdir()
    assert sample_npus().reading.state == "no npu-smi"


def test_a_table_is_immutable():
    table = parse_npu_smi_info(A2)
    assert isinstance(table, NpuTable)
    assert hash(table) == hash(parse_npu_smi_info(A2))
    with pytest.raises(AttributeError):
        table.devices[0].health = "OK"
