"""Recognises what stands in place of a file: the note that Git LFS leaves, and a web page of a login or a mirror."""

from __future__ import annotations

import re
from pathlib import Path

from sft_tui.errors import InvalidInputError

HEAD_BYTES = 200
LFS_HINT = "Run `git lfs pull` in the folder, or download the file again."
_HTML_HINT = "Download it again; if its page asks for a login or an agreement, do that first, or use another mirror."
_LFS_START = b"version https://git-lfs.github.com/spec/"
_HTML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|script|meta)\b", re.IGNORECASE)


def check_stand_in(path: Path, head: bytes, meant: str) -> None:
    """Raise InvalidInputError where the first bytes are those of a stand-in; `meant`: what it stands for."""
    if head.startswith(_LFS_START):
        raise InvalidInputError(f"{path} is a Git LFS pointer, not {meant}.", LFS_HINT)
    if _HTML_START.match(head):
        raise InvalidInputError(f"{path} is a web page (HTML), not {meant}.", _HTML_HINT)


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is the note of Git LFS. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(len(_LFS_START)) == _LFS_START
