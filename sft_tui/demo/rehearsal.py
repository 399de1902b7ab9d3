"""Prepares a rehearsal: its folder, and the profile that leads through it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sft_tui.demo.workspace import TOYS, write_workspace
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.store.profile_store import list_profiles, load_profile_data, profile_path, save_profile_data

FOLDER = "sft-tui-demo"  # in the folder that one stands in


def prepare_rehearsal(folder: Path, family: str, *, workers: int = 1, python: str = "") -> str:
    """Write what is not there yet, and the profile, whose name is returned.

    `python` trains; empty: the one that the profile names already, else this one. Raises InvalidInputError for a folder
    or a profile that is not ours, and while a job of the rehearsal runs.
    """
    name = TOYS[family].profile
    named = _known_python(name)
    python = os.path.abspath(python) if os.sep in python else python or named or sys.executable  # noqa: PTH100 - links stay
    save_profile_data(profiles_dir(), name, write_workspace(folder, workers=workers, family=family, python=python))
    return name


def _known_python(name: str) -> str:
    """The interpreter that the profile of an earlier rehearsal names, or an empty string."""
    if name in list_profiles(profiles_dir()):
        known = load_profile_data(profiles_dir(), name)
        if not known.get("rehearsal"):
            raise InvalidInputError(
                f"Your own profile {name!r} has the name that the rehearsal needs.",
                f"Move {profile_path(profiles_dir(), name)} to another name first.",
            )
        running = client.running_job(jobs_dir(), name)
        if running is not None:
            raise InvalidInputError(
                f"A rehearsal runs already as job {running.id}.",
                f"sft-tui jobs attach {running.id} shows it; sft-tui jobs stop {running.id} ends it.",
            )
        environment = known.get("environment")
        return str(environment.get("python", "")) if isinstance(environment, dict) else ""
    return ""
