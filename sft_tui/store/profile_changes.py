"""Writes what was changed in a profile, while somebody else may have changed its file."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.errors import InvalidInputError
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.stamps import Stamp, stamp
from sft_tui.store.profile_merge import FieldChange, merge_profiles, same_value
from sft_tui.store.profile_store import (
    NotAProfileError,
    load_profile_data,
    new_profile_data,
    profile_path,
    save_profile_data,
    set_aside,
)

LOCK_SECONDS = 3.0  # nobody holds it that long but one that hangs; then it is done without


class ProfileGoneError(InvalidInputError):
    """The file of a profile that was there is not there any more."""


@dataclass(frozen=True)
class SavedProfile:
    """What the file holds now, and what was found in it that others had changed; `stamp`: of that very content."""

    data: dict[str, Any]
    taken: tuple[FieldChange, ...] = ()
    clashes: tuple[FieldChange, ...] = ()
    broken: Optional[Path] = None  # the copy of a file that was no profile
    stamp: Optional[Stamp] = None


def load_filled(profiles_dir: Path, name: str) -> dict[str, Any]:
    """What the file says; what it leaves out has its default. Raises InvalidInputError, also for an empty file."""
    loaded = load_profile_data(profiles_dir, name)
    if not any(section in loaded for section in SECTIONS):  # an editor that has not written it yet
        raise NotAProfileError(f"{profile_path(profiles_dir, name)} holds no section of a profile.")
    return fill_profile(name, loaded)


def fill_profile(name: str, loaded: dict[str, Any]) -> dict[str, Any]:
    """The profile with the defaults of what it leaves out; what is no section at all is replaced by one."""
    if all(_is_whole(section, loaded.get(section)) for section in SECTIONS):
        return loaded
    fresh = new_profile_data(name)
    sections = {
        section: {**fresh[section], **typed} if isinstance(typed := loaded.get(section), dict) else fresh[section]
        for section in SECTIONS
    }
    return {**loaded, **sections}


def _is_whole(section: str, typed: object) -> bool:
    from sft_tui.core.profile import section_model

    return isinstance(typed, dict) and set(section_model(section).model_fields) <= set(typed)


def save_changes(profiles_dir: Path, name: str, base: dict[str, Any], mine: dict[str, Any]) -> SavedProfile:
    """Write what differs between `base` and `mine` into what the file holds now.

    `base` is what the file held when it was last read or written. A file that holds no profile is set aside.
    Raises ProfileGoneError, InvalidInputError where the file cannot be read, which may pass; OSError.
    """
    with _locked(profiles_dir):
        path = profile_path(profiles_dir, name)
        if not os.path.lexists(path):
            raise ProfileGoneError(f"The profile {name!r} was deleted elsewhere.", "Save it anew, or leave it.")
        seen = stamp(path)
        try:
            theirs = load_filled(profiles_dir, name)
        except NotAProfileError:
            if same_value(base, mine):
                return SavedProfile(mine, stamp=seen)
            broken = set_aside(path)
            return SavedProfile(mine, broken=broken, stamp=_write(profiles_dir, name, mine))
        merge = merge_profiles(base, mine, theirs)
        if not same_value(merge.data, theirs):
            seen = _write(profiles_dir, name, merge.data)
        return SavedProfile(merge.data, merge.taken, merge.clashes, stamp=seen)


def save_new(profiles_dir: Path, name: str, data: dict[str, Any]) -> SavedProfile:
    """Write a profile that has no file. Raises InvalidInputError, OSError."""
    with _locked(profiles_dir):
        return SavedProfile(data, stamp=_write(profiles_dir, name, data))


def _write(profiles_dir: Path, name: str, data: dict[str, Any]) -> Optional[Stamp]:
    """Write it under the lock: its stamp is then that of what we wrote, not of what another made of it."""
    return stamp(save_profile_data(profiles_dir, name, data))


def set_fields(profiles_dir: Path, name: str, values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Set some fields of a profile, and nothing else of it; the profile then.

    Raises InvalidInputError for no profile of that name, or a file that cannot be read; OSError.
    """
    with _locked(profiles_dir):
        data = load_profile_data(profiles_dir, name)
        for section, fields in values.items():
            kept = data.get(section)
            data[section] = {**(kept if isinstance(kept, dict) else {}), **fields}
        save_profile_data(profiles_dir, name, data)
    return data


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One of our processes at a time reads a profile and writes it back."""
    make_private_dir(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)
