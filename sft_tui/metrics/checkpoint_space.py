"""Measures how large checkpoints are, and how much room is left where they go."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Optional

from sft_tui.files.saved_states import CHECKPOINT_SUFFIXES


def checkpoint_size(folder: Path) -> int:
    """Bytes of one checkpoint of all ranks together: of each the largest file, for the newest may be half-written."""
    total = 0
    with contextlib.suppress(OSError):
        for rank in folder.glob("rank_*"):
            with contextlib.suppress(OSError):  # the oldest is removed while we look
                saved = (entry for entry in os.scandir(rank) if entry.name.endswith(CHECKPOINT_SUFFIXES))
                total += max((entry.stat().st_size for entry in saved), default=0)
    return total


def look_at_space(folder: Path) -> Optional[tuple[int, int]]:
    """Free bytes and bytes of a checkpoint; None before there is one."""
    size = checkpoint_size(folder)
    try:
        return (shutil.disk_usage(folder).free, size) if size else None
    except OSError:
        return None
