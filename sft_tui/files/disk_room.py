"""Sees whether a place can hold what is to be written there, and says it in units that tell."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from sft_tui.core.terminal_text import short_size
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

# the kernel makes what is there, and keeps nothing
_OF_THE_KERNEL: Final = ("/proc", "/sys", "/dev")
_BUT: Final = ("/dev/shm/",)  # noqa: S108 - a disk in memory


def refuse_kernel_folder(path: Path) -> None:
    """Raises InvalidInputError where `path` is in /proc, /sys or /dev: no file can be kept there."""
    places = (f"{path.absolute()}/", f"{path.resolve()}/")  # a link there may lead anywhere
    for top in _OF_THE_KERNEL:
        if any(place.startswith(f"{top}/") and not place.startswith(_BUT) for place in places):
            raise InvalidInputError(
                f"{path} is in {top}, where the kernel shows its own and keeps no files.",
                "Choose a folder on a disk for the output.",
            )


def check_room(folder: Path, needed: int, name: str) -> None:
    """See that `needed` bytes fit on the disk of a folder that is there.

    Raises EnvironmentNotFitError, OSError.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentNotFitError(
            f"The disk of {folder} has {tell_room(free, needed, name)}.",
            "Free some room, or choose a folder on another disk.",
        )


def tell_room(free: int, needed: int, name: str) -> str:
    """`3.2 MB free; NAME needs about 4.1 MB`; to the byte where that would tell no difference."""
    texts = short_size(free), short_size(needed)
    if texts[0] == texts[1]:
        texts = f"{free:,} bytes", f"{needed:,} bytes"
    return f"{texts[0]} free; {name} needs about {texts[1]}"
