"""Writes edits in one thread, in their order, and sees what others write into the same file."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Callable, Optional

from textual.message import Message

from sft_tui.errors import InvalidInputError
from sft_tui.files.stamps import Stamp, stamp
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_changes import ProfileGoneError, SavedProfile, load_filled, save_changes, save_new
from sft_tui.store.profile_merge import merge_profiles
from sft_tui.store.profile_store import NotAProfileError, profile_path
from sft_tui.tui.background import Post, run_guarded
from sft_tui.tui.bridge import BackgroundFailed, ProfileGone, ProfileMerged
from sft_tui.tui.opening import note_last_profile

_Edits = dict[tuple[str, str], Any]


@dataclass
class _Known:
    """What the file of a profile held when it was last read or written."""

    data: dict[str, Any]
    on_disk: bool
    stamp: Optional[Stamp] = None
    gone: bool = False
    unread: bool = False  # it was said that the file cannot be read


class ProfileSaver:
    """An edit is a field and its value: what others have changed in other fields stays as they wrote it."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._lock = threading.Lock()
        self._edits: dict[str, _Edits] = {}
        self._known: dict[str, _Known] = {}

    def opened(self, name: str, data: dict[str, Any], *, on_disk: bool) -> None:
        """The profile as it was read, or as a new one begins."""
        # without a stamp: another may have written since it was read, so the first look reads it again
        known = _Known(deepcopy(data), on_disk)
        self._do(lambda: self._known.update({name: known}))

    def save(self, name: str, *edits: tuple[str, str, Any]) -> None:
        """Save these soon: section, field, value. Without any, a new profile is written as it is."""
        with self._lock:
            self._edits.setdefault(name, {}).update({(section, key): deepcopy(value) for section, key, value in edits})
        self._do(lambda: self._write(name))

    def save_anew(self, name: str) -> None:
        """Write a profile that was deleted elsewhere, with all that it held here."""

        def anew() -> Optional[Message]:
            self._known[name].on_disk = self._known[name].gone = False
            return self._write(name)

        self._do(anew)

    def look(self, name: str) -> None:
        """See whether somebody else has changed the file."""
        self._do(lambda: self._look(name))

    def close(self) -> None:
        """Wait until everything is written."""
        self._thread.shutdown(wait=True)

    def _do(self, work: Callable[[], Optional[Message]]) -> None:
        try:
            self._thread.submit(run_guarded, work, self._post)
        except RuntimeError:  # it is closed
            return

    def _write(self, name: str) -> Optional[Message]:
        known = self._known[name]
        with self._lock:
            edits = self._edits.pop(name, {})
        mine = deepcopy(known.data)
        for (section, key), value in edits.items():
            mine.setdefault(section, {})[key] = value
        try:
            saved = self._save(name, known, mine)
            note_last_profile(name)
        except ProfileGoneError:
            self._keep(name, edits)
            known.gone = True
            return ProfileGone(name)
        except BaseException:
            self._keep(name, edits)
            raise
        known.data, known.on_disk, known.stamp = saved.data, True, saved.stamp
        if saved.taken or saved.clashes or saved.broken is not None:
            return ProfileMerged(name, saved.taken, saved.clashes, saved.broken)
        return None

    def _keep(self, name: str, edits: _Edits) -> None:
        """The next time they are tried again; what was typed meanwhile is newer."""
        with self._lock:
            self._edits[name] = {**edits, **self._edits.get(name, {})}

    def _save(self, name: str, known: _Known, mine: dict[str, Any]) -> SavedProfile:
        if not known.on_disk and _stamp(name) is None:
            return save_new(profiles_dir(), name, mine)
        return save_changes(profiles_dir(), name, known.data, mine)

    def _look(self, name: str) -> Optional[Message]:
        known = self._known[name]
        now = _stamp(name)
        if not known.on_disk or now == known.stamp:
            return None
        if now is None:
            was_gone, known.gone = known.gone, True
            return None if was_gone else ProfileGone(name)
        if known.gone:  # it is there again, and what was typed meanwhile is not in it
            known.gone = False
            return self._write(name) or ProfileMerged(name, (), (), None)
        try:
            theirs = load_filled(profiles_dir(), name)
        except NotAProfileError as error:
            known.stamp = now
            return BackgroundFailed(f"{error.message} The next edit here replaces it; a copy is kept then.")
        except InvalidInputError as error:  # it may pass: it is tried again, and said once
            was_unread, known.unread = known.unread, True
            return None if was_unread else BackgroundFailed(error.message)
        known.stamp, known.unread = now, False
        taken = merge_profiles(known.data, known.data, theirs).taken
        known.data = theirs
        return ProfileMerged(name, taken, (), None) if taken else None


def _stamp(name: str) -> Optional[Stamp]:
    return stamp(profile_path(profiles_dir(), name))
