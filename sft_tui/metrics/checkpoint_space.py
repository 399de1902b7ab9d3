"""How much room is left where checkpoints go, and how large they are."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Optional

SUFFIXES = (".ckpt", ".safetensors")


def checkpoint_size(folder: Path) -> int:
    """Bytes of one checkpoint of all ranks together: of each the largest file, for the newest may be half-written."""
    total = 0
    with contextlib.suppress(OSError):
        for rank in folder.glob("rank_*"):
            with contextlib.suppress(OSError):  # the oldest is removed while we look
                total += max((e.stat().st_size for e in os.scandir(rank) if e.name.endswith(SUFFIXES)), default=0)
    return total


def look_at_space(folder: Path) -> Optional[tuple[int, int]]:
    """Free bytes and bytes of a checkpoint; None before there is one."""
    size = checkpoint_size(folder)
    try:
        return (shutil.disk_usage(folder).free, size) if size else None
    except OSError:
        return None
