"""Reads the small files of a checkpoint folder, and says in plain words why one cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.files.stand_in import HEAD_BYTES, check_stand_in

MAX_JSON_BYTES = 16_000_000  # over 100,000 tensors; a model has some hundreds to some thousands
MAX_JSON_PARTS = 1_000_000  # a tensor takes about ten; each takes up to a hundred bytes of memory once understood
DOWNLOAD_HINT = "Download the file again."


def check_folder(folder: Path) -> None:
    """Raises InvalidInputError unless `folder` is a folder that can be looked into."""
    try:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise InvalidInputError(f"{folder} {what}.", "Choose the folder that holds config.json.")
    except OSError as error:
        raise not_read(folder, error) from error


def check_regular_file(path: Path) -> int:
    """The size of a file in bytes; raises InvalidInputError for one that is missing, unreadable or a stand-in."""
    try:
        if not path.exists():
            raise InvalidInputError(f"{path} is missing.", DOWNLOAD_HINT)
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a file.", "Choose a folder as it comes from Hugging Face.")
        with path.open("rb") as stream:
            check_stand_in(path, stream.read(HEAD_BYTES), "the file itself")
        return path.stat().st_size
    except OSError as error:
        raise not_read(path, error) from error


def not_read(path: Path, error: OSError) -> InvalidInputError:
    """The error to raise when the system did not let `path` be read."""
    return InvalidInputError(f"{path} could not be read: {error.strerror or error}.", "Check your rights and the disk.")


def load_json_object(path: Path) -> Dict[str, object]:
    """The JSON object in a file; raises InvalidInputError naming the file."""
    size = check_regular_file(path)
    if size > MAX_JSON_BYTES:
        raise InvalidInputError(f"{path} has {size:,} bytes, too many for this kind of file.", DOWNLOAD_HINT)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise not_read(path, error) from error
    return parse_json_object(raw, str(path))


def parse_json_object(raw: bytes, where: str) -> Dict[str, object]:
    """One JSON object, each key once; raises InvalidInputError that begins with `where`.

    What it takes is bounded: text that would need much memory is refused before it is understood.
    """
    parts = sum(raw.count(sign) for sign in b"[{,:")
    if parts > MAX_JSON_PARTS:
        raise InvalidInputError(f"{where} has {parts:,} parts (at most {MAX_JSON_PARTS:,}).", DOWNLOAD_HINT)
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidInputError(f"{where} is not valid JSON: {reason}.", DOWNLOAD_HINT) from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{where} is not a JSON object.", DOWNLOAD_HINT)
    return data


def _unique_keys(pairs: List[Tuple[str, object]]) -> Dict[str, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:200]!r} is there twice")
    return data
