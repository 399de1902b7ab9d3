"""Finds the files that a pattern means, as glob does, and gives up a walk that goes on for too long."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Iterator, List

from sft_tui.errors import InvalidInputError
from sft_tui.files.disk_room import refuse_kernel_folder

MOST_FILES = 1_000_000
SECONDS = 60.0
_MAGIC = re.compile(r"[*?[]")


def match_files(pattern: str) -> Iterator[Path]:
    """The files that match; `*` and `?` within a name, `**` any folders. What begins with a dot has to be named so.

    Raises InvalidInputError for folders of the kernel, for very many files, and for a walk without an end.
    """
    parts = pattern.split("/")
    first = next((place for place, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    root = Path("/".join(parts[:first]) or ("/" if pattern.startswith("/") else "."))
    refuse_kernel_folder(root / "x")
    until = time.monotonic() + SECONDS
    for found, path in enumerate(_match(root, parts[first:], until, pattern)):
        if found >= MOST_FILES:
            raise InvalidInputError(f"{pattern} matches more than {MOST_FILES:,} files.", _HINT)
        yield path


_HINT = "Name the folder with the data more closely."


def _match(folder: Path, parts: List[str], until: float, pattern: str) -> Iterator[Path]:
    """Below a folder, what the rest of the pattern means; links to folders are followed by name, not by `**`."""
    if time.monotonic() > until:
        raise InvalidInputError(f"Looking for {pattern} took more than {SECONDS:.0f} s.", _HINT)
    if not parts:
        return
    part, rest = parts[0], parts[1:]
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # as glob: what may not be looked into has nothing
    if part == "**":
        yield from _match(folder, rest or ["*"], until, pattern)
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from _match(folder / entry.name, parts, until, pattern)
        return
    fits = re.compile(_translate(part))
    for entry in entries:
        if not fits.fullmatch(entry.name):
            continue
        if rest and entry.is_dir():
            yield from _match(folder / entry.name, rest, until, pattern)
        elif not rest and entry.is_file():
            yield folder / entry.name


def _translate(part: str) -> str:
    """A pattern of one name as a regular expression."""
    text = "" if part.startswith(".") else r"(?!\.)"
    for piece in re.findall(r"\[[!^]?\]?[^]]*\]|.", part, re.DOTALL):
        if piece == "*":
            text += ".*"
        elif piece == "?":
            text += "."
        elif len(piece) > 1:
            inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            text += "[" + ("^" + inside[1:] if inside[:1] in ("!", "^") else inside) + "]"
        else:
            text += re.escape(piece)
    return f"(?s:{text})"
