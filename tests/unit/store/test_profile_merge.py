"""Two change one profile: nothing is lost, and what both have changed is told."""

import errno
import os
import threading
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.errors import InvalidInputError
from sft_tui.store import profile_store
from sft_tui.store.profile_changes import ProfileGoneError, save_changes, set_fields
from sft_tui.store.profile_merge import ABSENT, merge_profiles
from sft_tui.store.profile_store import list_profiles, load_profile_data, new_profile_data, save_profile_data

values = st.one_of(st.booleans(), st.integers(0, 2), st.sampled_from(["", "a", "b"]), st.lists(st.integers(0, 1)))
sections = st.dictionaries(st.sampled_from("xyz"), values)
profiles = st.fixed_dictionaries({"one": sections, "two": sections}, optional={"top": st.one_of(values, sections)})


def places(data, *others):
    """Every field by its place; what is a table here and a value in another is one field."""
    for key, value in data.items():
        if isinstance(value, dict) and all(isinstance(other.get(key, {}), dict) for other in others):
            yield from (((key, name), item) for name, item in value.items())
        else:
            yield (key,), value


def same(one, other):
    return type(one) is type(other) and one == other


@given(profiles, profiles, profiles)
def test_every_change_is_in_the_merge_or_told(base, mine, theirs):
    before = deepcopy((base, mine, theirs))
    merge = merge_profiles(base, mine, theirs)
    was, here, there, now = (dict(places(data, base, mine, theirs)) for data in (base, mine, theirs, merge.data))
    clashes = {change.field for change in merge.clashes}
    for place in {*was, *here, *there}:
        old, own, other, new = (fields.get(place, ABSENT) for fields in (was, here, there, now))
        if not same(own, old):
            assert same(new, own), "mine is never lost"
            if not same(other, old) and not same(other, own):
                assert ".".join(place) in clashes
        else:
            assert same(new, other), "nor theirs, where I have changed nothing"
    assert (base, mine, theirs) == before


@given(profiles, profiles)
def test_who_has_changed_nothing_gets_what_the_other_wrote(base, theirs):
    merge = merge_profiles(base, deepcopy(base), theirs)
    assert dict(places(merge.data)) == dict(places(theirs)) and not merge.clashes
    assert not merge_profiles(base, theirs, deepcopy(base)).taken


def _saved(folder, **fields):
    data = new_profile_data("p")
    data["training"].update(fields)
    save_profile_data(folder, "p", data)
    return load_profile_data(folder, "p")


def test_edits_of_two_land_both_and_comments_stay(tmp_path):
    base = _saved(tmp_path)
    path = tmp_path / "p.toml"
    path.write_text(path.read_text().replace("epochs = 1", "epochs = 3  # as the paper has it"))
    mine = deepcopy(base)
    mine["training"]["run_name"] = "second"
    saved = save_changes(tmp_path, "p", base, mine)
    training = load_profile_data(tmp_path, "p")["training"]
    assert (
        (training["epochs"], training["run_name"])
        == (3, "second")
        == (
            saved.data["training"]["epochs"],
            saved.data["training"]["run_name"],
        )
    )
    assert [(c.field, c.mine, c.theirs) for c in saved.taken] == [("training.epochs", 1, 3)]
    assert "# as the paper has it" in path.read_text()


def test_what_both_have_changed_is_mine_and_is_told_with_both_values(tmp_path):
    base = _saved(tmp_path)
    set_fields(tmp_path, "p", {"training": {"epochs": 3}})
    mine = deepcopy(base)
    mine["training"]["epochs"] = 5
    saved = save_changes(tmp_path, "p", base, mine)
    assert [(c.field, c.mine, c.theirs) for c in saved.clashes] == [("training.epochs", 5, 3)]
    assert load_profile_data(tmp_path, "p")["training"]["epochs"] == 5


def test_a_deleted_profile_does_not_come_back(tmp_path):
    base = _saved(tmp_path)
    (tmp_path / "p.toml").unlink()
    with pytest.raises(ProfileGoneError):
        save_changes(tmp_path, "p", base, {**base, "rehearsal": True})
    assert list_profiles(tmp_path) == []


def test_copies_of_broken_files_are_numbered_and_are_no_profiles(tmp_path):
    base = _saved(tmp_path)
    path = tmp_path / "p.toml"
    for number in (1, 2, 3):
        path.write_text(f"broken = = {number}")
        mine = deepcopy(base)
        mine["training"]["epochs"] = number + 10
        saved = save_changes(tmp_path, "p", base, mine)
        assert saved.broken == tmp_path / f"p.broken-{number}.toml"
        base = saved.data
    assert [(tmp_path / f"p.broken-{n}.toml").read_text()[-1] for n in (1, 2, 3)] == ["1", "2", "3"]
    assert load_profile_data(tmp_path, "p")["training"]["epochs"] == 13
    assert list_profiles(tmp_path) == ["p"]


def test_a_table_removed_elsewhere_does_not_come_back_empty(tmp_path):
    base = {**_saved(tmp_path), "notes": {"a": 1}}
    mine = deepcopy(base)
    mine["training"]["epochs"] = 5
    saved = save_changes(tmp_path, "p", base, mine)
    assert "notes" not in load_profile_data(tmp_path, "p") and "notes" not in saved.data
    assert [(c.field, c.theirs) for c in saved.taken] == [("notes.a", ABSENT)]


def test_a_file_that_cannot_be_read_for_a_moment_is_not_set_aside(tmp_path, monkeypatch):
    base = _saved(tmp_path)
    mine = deepcopy(base)
    mine["training"]["epochs"] = 5
    read = profile_store.read_small_text
    for number in (errno.EACCES, errno.ESTALE, errno.EIO):

        def refused(*_arguments, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(profile_store, "read_small_text", refused)
        with pytest.raises(InvalidInputError, match="cannot be read"):
            save_changes(tmp_path, "p", base, mine)
        monkeypatch.setattr(profile_store, "read_small_text", read)
    assert os.listdir(tmp_path) == ["p.toml"] and load_profile_data(tmp_path, "p") == base
    assert save_changes(tmp_path, "p", base, mine).broken is None


@pytest.mark.parametrize("content", [b"broken = = 1", b"\xff\xfe", b"# no\n", b"a = 1\n" * 4000, b"x" * (2 << 20)])
def test_what_was_read_and_is_no_profile_is_set_aside(tmp_path, content):
    base = _saved(tmp_path)
    mine = deepcopy(base)
    mine["training"]["epochs"] = 5
    (tmp_path / "p.toml").write_bytes(content)
    saved = save_changes(tmp_path, "p", base, mine)
    assert saved.broken.read_bytes() == content and load_profile_data(tmp_path, "p")["training"]["epochs"] == 5


def test_a_file_that_an_editor_has_emptied_is_not_taken_for_changes(tmp_path):
    base = _saved(tmp_path, epochs=7)
    (tmp_path / "p.toml").write_text("")
    assert save_changes(tmp_path, "p", base, deepcopy(base)).taken == ()


def test_many_at_once_lose_nothing(tmp_path):
    base = _saved(tmp_path)
    fields = {"epochs": 9, "batch_size": 8, "run_name": "r", "seed": 4}
    base["training"].setdefault("seed", 0)

    def change(name, value):
        mine = deepcopy(base)
        mine["training"][name] = value
        save_changes(tmp_path, "p", base, mine)

    threads = [threading.Thread(target=change, args=item) for item in fields.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    training = load_profile_data(tmp_path, "p")["training"]
    assert {name: training[name] for name in fields} == fields
