"""Makes the folder of this user on this host, for sockets and for what processes share while the machine runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Optional

from sft_tui.paths import runtime_dir


def make_runtime_folder(longest: Optional[int] = None) -> Optional[Path]:
    """`sft-tui-UID` in XDG_RUNTIME_DIR, else in the folder for temporary files; None where somebody else may write.

    `longest`: characters that the path of the folder above it may have; else it is /tmp. Raises OSError.
    """
    above = runtime_dir() or Path(tempfile.gettempdir())
    if longest is not None and len(str(above)) > longest:
        above = Path("/tmp")  # noqa: S108 - checked below
    folder = above / f"sft-tui-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_ours else None
