"""Checks a folder against a listing: the hub's, or the one that a download left in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Literal, Sequence

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.hub.digest import is_same
from sft_tui.hub.listing import HubFile

State = Literal["whole", "missing", "differs", "not checked"]


@dataclass(frozen=True)
class Checked:
    """One file; "not checked": its size is right, and the hub tells no digest."""

    path: str
    state: State


def verify_folder(folder: Path, files: Sequence[HubFile], progress: ProgressCallback = no_progress) -> List[Checked]:
    """Size and content of every file. Raises OSError."""
    total, done = sum(file.size for file in files), 0
    found = []
    for file in files:
        same = is_same(folder / file.path, file)
        state: State = (
            "missing" if same is None else "differs" if not same else "whole" if file.digest else "not checked"
        )
        found.append(Checked(file.path, state))
        done += file.size
        progress(Progress(done, total, "bytes", f"{len(found)} of {len(files)} files"))
    return found
