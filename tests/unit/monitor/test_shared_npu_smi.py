"""One npu-smi at a time, whoever asks, and whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.monitor.sampler import LONGEST_REST, REST_SECONDS, SLOW_SECONDS, Sampler, next_rest
from sft_tui.monitor.shared_npu_smi import look_at_npus
from sft_tui.monitor.snapshot import NpuSnapshot, NpuTable, NpuUnavailable

TABLE = Path(__file__).parents[2] / "data" / "npu_smi" / "info_25.2.0_A3_4dies_procs.txt"
ANSWER = NpuTable("25", (), True)
HANGS = NpuUnavailable("no answer", "it hangs", "")


def calls(tmp_path):
    path = tmp_path / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def counted(npu_smi, tmp_path):
    """An npu-smi that notes when it runs beside another one."""
    npu_smi(
        f"echo x >> {tmp_path}/calls; mkdir {tmp_path}/busy 2>/dev/null || echo two >> {tmp_path}/two; "
        f"sleep 0.2; cat {TABLE}; rmdir {tmp_path}/busy"
    )


def test_a_fresh_look_serves_others_and_an_old_one_does_not(counted, tmp_path):
    first = look_at_npus()
    theirs = look_at_npus(max_age=60)
    assert (theirs.asked_at, theirs.snapshot.reading) == (first.asked_at, first.snapshot.reading)
    assert calls(tmp_path) == 1
    assert look_at_npus(max_age=0).asked_at > first.asked_at
    assert calls(tmp_path) == 2
    assert Path(tmp_path / f"sft-tui-{os.getuid()}").stat().st_mode & 0o077 == 0


def test_several_askers_never_call_two_at_once(counted, tmp_path):
    script = (
        "from sft_tui.monitor.shared_npu_smi import look_at_npus as look\n"
        "for _ in range(3): assert look().snapshot.devices"
    )
    askers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [asker.wait(60) for asker in askers] == [0, 0, 0]
    assert calls(tmp_path) >= 3 and not (tmp_path / "two").exists()


def test_where_the_asker_was_killed_its_npu_smi_is_not_joined_by_another(npu_smi, tmp_path):
    npu_smi(f"echo $$ >> {tmp_path}/calls; exec sleep 61")
    asker = subprocess.Popen(
        [sys.executable, "-c", "from sft_tui.monitor.shared_npu_smi import look_at_npus as l; l()"]
    )
    deadline = time.monotonic() + 20
    while not calls(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    asker.kill()
    asker.wait()
    look = look_at_npus(deadline_seconds=0.3)
    assert look.snapshot.reading.state == "no answer" and "called before" in look.snapshot.reading.reason
    assert calls(tmp_path) == 1
    os.kill(int((tmp_path / "calls").read_text()), signal.SIGKILL)
    npu_smi(f"cat {TABLE}")
    assert len(look_at_npus(deadline_seconds=10).snapshot.devices) == 4


def test_a_look_of_another_npu_smi_or_of_a_torn_file_is_not_taken(npu_smi, tmp_path, monkeypatch):
    npu_smi(f"cat {TABLE}")
    look_at_npus()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/npu-smi").write_text("#!/bin/sh\necho 'ret is -8005'\n")
    (tmp_path / "other/npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/other:/usr/bin:/bin")
    assert look_at_npus(max_age=60).snapshot.reading.state == "no permission"
    (file,) = (tmp_path / f"sft-tui-{os.getuid()}").glob("*.json")
    for text in ("", "{", "[]", '{"of": 1}', file.read_text()[:-40]):
        file.write_text(text)
        assert look_at_npus(max_age=60).snapshot.reading.state == "no permission"


def test_a_folder_that_others_may_write_is_not_used(npu_smi, tmp_path):
    npu_smi(f"cat {TABLE}")
    folder = tmp_path / f"sft-tui-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert len(look_at_npus().snapshot.devices) == 4
    assert list(folder.iterdir()) == []


def test_a_sampler_tells_that_it_waits_then_what_came_and_ends_npu_smi_with_itself(npu_smi, tmp_path):
    npu_smi(f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; cat {TABLE}")
    sampler = Sampler([str(tmp_path)])
    assert sampler.sample().npus.reading.state == "asked"
    (tmp_path / "go").touch()
    assert sampler.wait_for_news(20)
    sample = sampler.sample()
    assert len(sample.npus.devices) == 4 and sample.age_seconds >= sample.npus.took_seconds
    assert sample.host.memory_total > sample.host.memory_used > 0
    (tmp_path / "go").unlink()
    (tmp_path / "pid").unlink()
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    sampler.close()
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_layout_that_changes_between_calls_leaves_nothing_of_the_first(npu_smi):
    npu_smi(f"cat {TABLE}")
    assert len(look_at_npus().snapshot.devices) == 4
    npu_smi("echo '+----+'; echo '| \u8bbe\u5907 \u6e29\u5ea6 |'; echo '+====+'; echo '| 0 45 |'; echo '+====+'")
    reading = look_at_npus().snapshot.reading
    assert reading.state == "unknown layout" and "\u6e29\u5ea6" in reading.text


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=12))
def test_the_rest_grows_while_it_is_slow_or_missing_and_is_short_again_after_a_good_answer(answers):
    rest = REST_SECONDS / 2
    for took, is_missing in answers:
        before = rest
        rest = next_rest(rest, NpuSnapshot(0.0, took, HANGS if is_missing else ANSWER))
        assert REST_SECONDS <= rest <= LONGEST_REST
        if is_missing or took > SLOW_SECONDS:
            assert rest == min(LONGEST_REST, max(REST_SECONDS, 2 * before))
        else:
            assert rest == REST_SECONDS


def test_what_npu_smi_has_started_holds_neither_the_lock_nor_the_next_asker(npu_smi, tmp_path):
    # setsid: out of its group, as a daemon that a driver's tool starts
    npu_smi(f"setsid sleep 61 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; cat {TABLE}")
    first = look_at_npus()
    begun = time.monotonic()
    second = look_at_npus()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert first.snapshot.devices and second.snapshot.devices
    assert second.asked_at > first.asked_at and time.monotonic() - begun < 5
