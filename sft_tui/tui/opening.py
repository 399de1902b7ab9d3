"""Chooses the profile and the job that the wizard opens with."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.small_file import read_small_text
from sft_tui.files.whole_file import write_private
from sft_tui.paths import jobs_dir, profiles_dir, state_dir
from sft_tui.store.profile_changes import fill_profile
from sft_tui.store.profile_store import list_profiles, load_profile_data, new_profile_data
from sft_tui.tui.bridge import JobFound
from sft_tui.tui.session import Session

FIRST_PROFILE = "my-model"


def choose_profile(name: str) -> str:
    """The profile asked for, else the one used last, else any, else a new one."""
    if name:
        return name
    known = list_profiles(profiles_dir())
    try:
        last = read_small_text(_last_profile_file()).strip()
    except (OSError, InvalidInputError):
        last = ""
    return last if last in known else (known[0] if known else FIRST_PROFILE)


def load_session(name: str) -> Session:
    """The session of a profile, new or not. Raises InvalidInputError for a file that cannot be read."""
    if name not in list_profiles(profiles_dir()):
        return Session(name, new_profile_data(name))
    return Session(name, fill_profile(name, load_profile_data(profiles_dir(), name)), on_disk=True)


def note_last_profile(name: str) -> None:
    """The next start opens this one. Raises OSError."""
    make_private_dir(state_dir())
    write_private(_last_profile_file(), name)


def find_job(profile: str) -> JobFound | None:
    """The newest job of a profile, running or not."""
    from sft_tui.jobs.read_state import read_state
    from sft_tui.store.job_store import list_jobs

    for folder in reversed(list_jobs(jobs_dir())):
        with contextlib.suppress(SftError):  # damaged, or of a later version: it is not the wizard that mends it
            if folder.load_state().profile == profile:
                return JobFound(profile, folder, not read_state(folder).finished)
    return None


def _last_profile_file() -> Path:
    return state_dir() / "last_profile"
