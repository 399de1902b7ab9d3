"""Makes folders that the user alone can read, and refuses those that others could write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sft_tui.errors import EnvironmentNotFitError


def make_private_dir(folder: Path) -> None:
    """Create the folder, and those above it that are missing, with mode 0700. Raises OSError."""
    if folder.is_dir():
        return
    make_private_dir(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def check_own_dir(folder: Path) -> None:
    """See that nobody but this user decides what is in a folder of ours; one that is not there yet is fine.

    What is in it is believed: which processes are ours to end, and what is to be run. Raises EnvironmentNotFitError.
    """
    try:
        status = folder.stat()
    except OSError:
        return
    if status.st_uid != os.geteuid():
        raise EnvironmentNotFitError(
            f"{folder} belongs to {_name_of(status.st_uid)}, not to you.",
            "Set SFT_TUI_HOME to a folder of your own, or run sft-tui as that user.",
        )
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH:
        raise EnvironmentNotFitError(
            f"{folder} can be written by everybody (mode {stat.S_IMODE(status.st_mode):o}).",
            f"See that nothing in it is another's, then: chmod 700 {folder}",
        )


def _name_of(user: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"
