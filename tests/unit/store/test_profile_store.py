"""Profiles on disk."""

from __future__ import annotations

import stat

import pytest

from sft_tui.core.profile import default_data
from sft_tui.errors import InvalidInputError
from sft_tui.store.profile_store import list_profiles, load_profile_data, profile_path, save_profile_data


def new_data(name="p"):
    return default_data(name, work_dir="/w", python="/usr/bin/python3", device_target="CPU")


def test_what_is_saved_is_loaded(tmp_path):
    folder = tmp_path / "profiles"
    path = save_profile_data(folder, "p", new_data())
    assert load_profile_data(folder, "p") == new_data()
    assert list_profiles(folder) == ["p"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_draft_with_mistakes_is_kept_exactly(tmp_path):
    draft = new_data()
    draft["training"].update(epochs="many", learning_rate="1e-", unknown=[1, "two"])
    draft["model"] = "not a section"
    draft["dataset"]["train_path"] = 'odd "quotes" \\ and\ttabs 中文'
    save_profile_data(tmp_path, "p", draft)
    assert load_profile_data(tmp_path, "p") == draft
    draft["model"] = {"hf_dir": "/m"}
    del draft["training"]["unknown"]
    save_profile_data(tmp_path, "p", draft)
    assert load_profile_data(tmp_path, "p") == draft


def test_comments_and_spelling_of_what_stays_are_kept(tmp_path):
    path = save_profile_data(tmp_path, "p", new_data())
    text = path.read_text().replace("[training]", "# the team's settings\n[training]  # all of it")
    text = text.replace("epochs = 1", "epochs = 1  # enough").replace(
        "learning_rate = 1e-05", "learning_rate = 1E-5 # low"
    )
    path.write_text(text)
    data = load_profile_data(tmp_path, "p")
    save_profile_data(tmp_path, "p", data)
    assert path.read_text() == text
    data["training"]["epochs"] = 3
    save_profile_data(tmp_path, "p", data)
    assert path.read_text() == text.replace("epochs = 1 ", "epochs = 3 ")


def test_a_number_that_becomes_text_or_another_kind_is_written(tmp_path):
    data = new_data()
    for value in (1, "1", 1.0, True, 1):
        data["training"]["epochs"] = value
        save_profile_data(tmp_path, "p", data)
        again = load_profile_data(tmp_path, "p")["training"]["epochs"]
        assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize("name", ["", ".", "..", "../p", "a/b", "/etc/p", ".hidden", "a\n", "a\0b", "x" * 65, "a b"])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path, name):
    for call in (
        lambda: profile_path(tmp_path, name),
        lambda: load_profile_data(tmp_path, name),
        lambda: save_profile_data(tmp_path, name, new_data()),
    ):
        with pytest.raises(InvalidInputError, match="not a profile name"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_says_what_is(tmp_path):
    save_profile_data(tmp_path, "known", new_data())
    with pytest.raises(InvalidInputError, match="there are: known"):
        load_profile_data(tmp_path, "other")


@pytest.mark.parametrize("content", [b"= = =", b"\xff\xfe\x00", b"a = 1\na = 2\n"])
def test_a_file_that_cannot_be_read_is_named_and_never_destroyed(tmp_path, content):
    path = tmp_path / "p.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"p\.toml"):
        load_profile_data(tmp_path, "p")
    save_profile_data(tmp_path, "p", new_data())
    assert load_profile_data(tmp_path, "p") == new_data()
    assert (tmp_path / "p.broken-1.toml").read_bytes() == content
    assert list_profiles(tmp_path) == ["p"]


def test_the_name_is_the_files_name_whatever_stands_in_it(tmp_path):
    save_profile_data(tmp_path, "p", {**new_data(), "name": "q"})
    assert load_profile_data(tmp_path, "p")["name"] == "p"
