"""Makes the folder of this user on this host, for sockets and for what processes share while the machine runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Optional

from sft_tui.paths import runtime_dir

_MEMORY = "/dev/shm"  # noqa: S108 - what is made there is checked


def make_runtime_folder(longest: Optional[int] = None) -> Optional[Path]:
    """`sft-tui-UID` in XDG_RUNTIME_DIR, else in the machine's memory, else in the folder for temporary files.

    None where somebody else may write. `longest`: characters that the path of the folder above it may have; else it
    is /tmp. Raises OSError.
    """
    # nobody clears a folder for temporary files of a server that runs for months; memory goes with the machine
    memory = Path(_MEMORY)
    above = runtime_dir() or (memory if os.access(memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir()))
    if longest is not None and len(str(above)) > longest:
        above = Path("/tmp")  # noqa: S108 - checked below
    folder = above / f"sft-tui-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_ours else None
