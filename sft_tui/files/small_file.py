"""Reads a small file whole: only a regular one, only up to a size, and never waiting for anybody."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Final, List

from sft_tui.errors import InvalidInputError
from sft_tui.files.regular_file import NotRegularError, open_regular

__all__ = [
    "SMALL_BYTES",
    "NotRegularError",
    "TooLargeError",
    "read_small_bytes",
    "read_small_object",
    "read_small_text",
]

SMALL_BYTES: Final = 16 << 20  # of what people write by hand, and of what we write about a job
_PIECE: Final = 1 << 20


class TooLargeError(InvalidInputError):
    """The file is larger than what it is taken for can be."""


def read_small_bytes(path: Path, limit: int = SMALL_BYTES) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises InvalidInputError (NotRegularError, TooLargeError), OSError where it is not there or may not be read.
    """
    handle = open_regular(path)
    try:
        size = os.fstat(handle).st_size
        pieces: List[bytes] = []
        read = 0
        while size <= limit and (piece := os.read(handle, min(_PIECE, limit + 1 - read))):
            pieces.append(piece)
            read += len(piece)
            size = max(size, read)  # files of /proc say 0, and a file may grow meanwhile
    finally:
        os.close(handle)
    if size > limit:
        allowed = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit:,} bytes"
        raise TooLargeError(
            f"{path} is too large: {size:,} bytes, of {allowed} at most.", "Is it the file that was meant?"
        )
    return b"".join(pieces)


def read_small_object(path: Path, limit: int = SMALL_BYTES) -> Dict[str, Any]:
    """The JSON object in a small file. Raises as `read_small_text`; InvalidInputError for anything else."""
    try:
        data = json.loads(read_small_text(path, limit))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not valid JSON: {error}.", "Write or download it again.") from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{path} is JSON, but no object.", "Write or download it again.")
    return data


def read_small_text(path: Path, limit: int = SMALL_BYTES) -> str:
    """The same as UTF-8 text, line ends as `\\n`. Raises as `read_small_bytes`; InvalidInputError for other text."""
    data = read_small_bytes(path, limit)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8.", "Save the file as UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
