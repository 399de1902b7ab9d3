"""Which profile and which job the wizard opens with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sft_tui.core.profile import SECTIONS
from sft_tui.paths import jobs_dir, profiles_dir, state_dir
from sft_tui.preflight import new_profile_data
from sft_tui.store.atomic import make_private_dir, write_atomic
from sft_tui.store.job_store import JobFolder, list_jobs
from sft_tui.store.profile_store import list_profiles, load_profile_data, save_profile_data
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
    fresh = new_profile_data(name)
    if name not in list_profiles(profiles_dir()):
        return Session(name, fresh)
    loaded = load_profile_data(profiles_dir(), name)
    for section in SECTIONS:
        typed = loaded.get(section)
        # what a file leaves out has its default; what is no section at all cannot be shown as one
        loaded[section] = {**fresh[section], **typed} if isinstance(typed, dict) else fresh[section]
    return Session(name, loaded)


def save_session(name: str, data: dict[str, Any]) -> None:
    """Save the profile as typed, and that it was used last. Raises OSError."""
    save_profile_data(profiles_dir(), name, data)
    make_private_dir(state_dir())
    write_atomic(_last_profile_file(), name)


def newest_job(profile: str) -> JobFolder | None:
    """The newest job of a profile, running or not."""
    return next((f for f in reversed(list_jobs(jobs_dir())) if f.load_state().profile == profile), None)


def _last_profile_file() -> Path:
    return state_dir() / "last_profile"
