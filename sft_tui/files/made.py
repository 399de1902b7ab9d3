"""Remembers which files we made, by a note beside each: others' are replaced only by who asks for it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_object
from sft_tui.files.whole_file import check_replaceable, write_text

FORCE_HINT = "Give --force to replace it, or another name."


def note_path(path: Path) -> Path:
    """Where the note on a file stands."""
    return path.with_name(f".{path.name}.sft-tui")


def note_made(path: Path) -> None:
    """Remember that we made a file, as it is now. Raises OSError."""
    status = path.stat()
    write_text(note_path(path), json.dumps({"size": status.st_size, "mtime_ns": status.st_mtime_ns}) + "\n")


def is_made(path: Path) -> bool:
    """Whether we made a file, and nobody has changed it since."""
    try:
        data, status = read_small_object(note_path(path)), path.stat()
        return bool(data["size"] == status.st_size and data["mtime_ns"] == status.st_mtime_ns)
    except (OSError, InvalidInputError, KeyError):
        return False


def check_ours(path: Path, *, force: bool) -> None:
    """Raise InvalidInputError for what is no file, and without `force` for a file that is not as we made it."""
    check_replaceable(path)
    if path.exists() and not force and not is_made(path):
        raise InvalidInputError(f"{path} exists, and sft-tui did not make it as it is.", FORCE_HINT)


def remove_made(path: Path) -> None:
    """Remove a file that we made, and its note; another one stays. Raises OSError."""
    if is_made(path):
        path.unlink()
    with suppress(FileNotFoundError):
        note_path(path).unlink()
