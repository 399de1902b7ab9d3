"""Chooses the profile and the job that the wizard opens with."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.errors import SftError
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.whole_file import write_private
from sft_tui.paths import jobs_dir, profiles_dir, state_dir
from sft_tui.store.profile_store import list_profiles, load_profile_data, new_profile_data, save_profile_data
from sft_tui.tui.bridge import JobFound
from sft_tui.tui.session import Session

FIRST_PROFILE = "my-model"


def choose_profile(name: str) -> str:
    """The profile asked for, else the one used last, else any, else a new one."""
    if name:
        return name
    known = list_profiles(profiles_dir())
    try:
        last = _last_profile_file().read_text(encoding="utf-8").strip()
    except OSError:
        last = ""
    return last if last in known else (known[0] if known else FIRST_PROFILE)


def load_session(name: str) -> Session:
    """The session of a profile, new or not. Raises InvalidInputError for a file that cannot be read."""
    if name not in list_profiles(profiles_dir()):
        return Session(name, _fresh(name))
    loaded = load_profile_data(profiles_dir(), name)
    if not all(_is_whole(section, loaded.get(section)) for section in SECTIONS):
        fresh = _fresh(name)
        for section in SECTIONS:
            typed = loaded.get(section)
            # what a file leaves out has its default; what is no section at all cannot be shown as one
            loaded[section] = {**fresh[section], **typed} if isinstance(typed, dict) else fresh[section]
    return Session(name, loaded)


def _is_whole(section: str, typed: object) -> bool:
    from sft_tui.core.profile import section_model

    return isinstance(typed, dict) and set(section_model(section).model_fields) <= set(typed)


def _fresh(name: str) -> dict[str, Any]:
    return new_profile_data(name)


def save_session(name: str, data: dict[str, Any]) -> None:
    """Save the profile as typed, and that it was used last. Raises OSError."""
    save_profile_data(profiles_dir(), name, data)
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
