"""A profile's file that is none of ours is refused at once, with what it is."""

from __future__ import annotations

import os
import stat

import pytest

from sft_tui.errors import InvalidInputError
from sft_tui.store.profile_store import load_profile_data, save_profile_data


def _fifo(path):
    os.mkfifo(path)


def _device(path):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except OSError:
        path.symlink_to("/dev/zero")


def _huge(path):
    with path.open("wb") as file:
        file.truncate(500 << 20)


def _keys(path):
    path.write_text("".join(f"k{i} = 1\n" for i in range(60_000)))


def _deep(path):
    path.write_text("a = " + "[" * 50_000)


ODD = [
    (_fifo, "a FIFO"), (_device, "a device"), (os.mkdir, "a folder"), (_huge, "too large"), (_keys, "60,000 keys"),
    (_deep, "p.toml"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "word"), ODD)
def test_it_is_refused_at_once(tmp_path, make, word):
    make(tmp_path / "p.toml")
    with pytest.raises(InvalidInputError, match=word) as caught:
        load_profile_data(tmp_path, "p")
    assert "p.toml" in str(caught.value)


@pytest.mark.parametrize(("make", "word"), ODD[:3])
def test_what_is_no_file_is_not_replaced_when_a_profile_is_saved(tmp_path, make, word):
    make(tmp_path / "p.toml")
    before = (tmp_path / "p.toml").lstat().st_ino
    with pytest.raises(InvalidInputError, match=word):
        save_profile_data(tmp_path, "p", {"model": {}})
    assert [(p.name, p.lstat().st_ino) for p in tmp_path.iterdir()] == [("p.toml", before)]
