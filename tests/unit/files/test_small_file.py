"""Small files are read only where they are files, and small."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import NotRegularError, TooLargeError, read_small_bytes, read_small_text


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero: it has no end
    except OSError:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "kind"), [(Path.mkdir, "a folder"), (_fifo, "a FIFO"), (_socket, "a socket"), (_device, "a device")]
)
def test_what_is_no_file_is_named(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    path = Path("it")
    make(path)
    with pytest.raises(NotRegularError, match=f"^it is {kind}, not a file"):
        read_small_text(path)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "real").write_bytes(b"a\r\nb")
    (tmp_path / "link").symlink_to("real")
    assert read_small_text(tmp_path / "link") == "a\nb"
    assert read_small_bytes(tmp_path / "link") == b"a\r\nb"


def test_the_limit_is_a_size_that_is_still_read(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 1000)
    assert len(read_small_bytes(path, 1000)) == 1000
    with pytest.raises(TooLargeError, match=r"1,000 bytes, of 999 bytes at most"):
        read_small_bytes(path, 999)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLargeError, match="of 16 MB at most"):
        read_small_bytes(path)


def test_a_file_that_tells_no_size_is_bounded_too():
    assert read_small_text(Path("/proc/self/status")).startswith("Name:")
    with pytest.raises(TooLargeError):
        read_small_bytes(Path("/proc/self/status"), 10)


def test_other_text_is_told_by_its_line(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo \xff")
    with pytest.raises(InvalidInputError, match="f, line 2: byte 0xff is not UTF-8"):
        read_small_text(path)


def test_what_is_not_there_stays_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_small_bytes(tmp_path / "none")
