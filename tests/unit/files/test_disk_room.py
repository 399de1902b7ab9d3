"""Whether there is room, in units that tell; and places where nothing can be kept."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from sft_tui.cli import run_command
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files import disk_room
from sft_tui.files.disk_room import check_room, refuse_kernel_folder, tell_room

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "needed", "text"),
    [
        (0, 39_000_000, "0 B free; x needs about 39.0 MB"), (4096, 900_000, "4.1 kB free; x needs about 900.0 kB"),
        (1_000_001, 1_000_002, "1,000,001 bytes free; x needs about 1,000,002 bytes"),
        (3 * 10**9, 5 * 10**12, "3.0 GB free; x needs about 5.0 TB"),
    ],
)  # fmt: skip
def test_both_sizes_tell(free, needed, text):
    assert tell_room(free, needed, "x") == text


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: Usage(100, 100, 0))
    with pytest.raises(EnvironmentNotFitError, match=r"has 0 B free; out.ckpt needs about 12.0 kB"):
        check_room(tmp_path, 12_000, "out.ckpt")


@pytest.mark.parametrize("path", ["/proc/x", "/proc/self/fd/1", "/sys/kernel/x.ckpt", "/dev/null", "/dev/new"])
def test_nothing_is_kept_where_the_kernel_shows_its_own(path, tmp_path):
    with pytest.raises(InvalidInputError, match="keeps no files"):
        refuse_kernel_folder(Path(path))
    (tmp_path / "link").symlink_to("/proc")
    with pytest.raises(InvalidInputError, match="keeps no files"):
        refuse_kernel_folder(tmp_path / "link" / "x")


@pytest.mark.parametrize("path", ["/dev/shm/x", "/processed/x", "/device", "/tmp/proc/x"])
def test_other_places_are_fine(path):
    refuse_kernel_folder(Path(path))


def test_a_converter_that_is_to_write_there_says_so(tmp_path, capsys):
    (tmp_path / "in.json").write_text('[{"instruction": "a", "input": "", "output": "b"}]')
    arguments = ["convert-alpaca", "--data_path", str(tmp_path / "in.json"), "--output_path", "/proc/x.json"]
    assert run_command(arguments) == 2
    assert "/proc, where the kernel shows its own and keeps no files" in capsys.readouterr().err
