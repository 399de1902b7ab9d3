"""Reads the items of a JSON list one at a time, whatever the size of the file, and says what is wrong with it."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import BinaryIO, Iterator, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.errors import InvalidInputError

LFS_POINTER = b"version https://git-lfs"
_HEAD_BYTES = 64 * 1024
_BUFFER_BYTES = 256 * 1024
# Above this size the line of a syntax error is not looked up: that needs the whole file in memory.
_LOCATE_BYTES = 256 * 1024 * 1024
_LIST_HINT = "The file must hold one JSON list of objects: [{...}, {...}]."


class _CountedReader:
    """Hands out the bytes of a file and tells how many are gone."""

    def __init__(self, stream: BinaryIO, total: int, progress: ProgressCallback) -> None:
        self._stream = stream
        self._total = total
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        chunk = self._stream.read(size)
        self._progress(Progress(self._stream.tell(), self._total, "bytes"))
        return chunk


def stream_items(path: Path, progress: ProgressCallback = no_progress) -> Iterator[Tuple[int, object]]:
    """Yield (number, item) of the JSON list in `path`; numbers count from 1. Memory does not grow with the file.

    `progress` hears of bytes. Raises InvalidInputError for a file that is not there, is empty, is not UTF-8 JSON,
    holds something else than a list, or breaks off; items before the broken place have been yielded by then.
    """
    size = check_is_list(path)
    import ijson

    number = 0
    try:
        with path.open("rb") as stream:
            if stream.read(3) != codecs.BOM_UTF8:
                stream.seek(0)
            reader = _CountedReader(stream, size, progress)
            for item in ijson.items(reader, "item", buf_size=_BUFFER_BYTES, use_float=True):
                number += 1
                yield number, item
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise _syntax_error(path, size, number, str(error)) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def check_is_list(path: Path) -> int:
    """Look at the beginning of `path`; return its size in bytes, or raise InvalidInputError unless a list begins."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    text = head[len(codecs.BOM_UTF8) :] if head.startswith(codecs.BOM_UTF8) else head
    text = text.lstrip(b" \t\r\n")
    if not text and size <= _HEAD_BYTES:
        raise InvalidInputError(f"{path} is empty.", _LIST_HINT)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInputError(f"{path} is UTF-16, not UTF-8.", "Save it as UTF-8.")
    if text.startswith(LFS_POINTER):
        raise InvalidInputError(
            f"{path} is a Git LFS pointer, not the data itself.", "Fetch the file with `git lfs pull`."
        )
    if text.startswith(b"{"):
        raise _object_error(path)
    if not text.startswith(b"["):
        raise _syntax_error(path, size, 0, "neither a list nor an object begins here")
    return size


def _unreadable(path: Path, error: OSError) -> InvalidInputError:
    if isinstance(error, FileNotFoundError):
        return InvalidInputError(f"{path} does not exist.", "Check the path.")
    if isinstance(error, IsADirectoryError):
        return InvalidInputError(f"{path} is a folder, not a file.", "Give the JSON file itself.")
    return InvalidInputError(f"{path} could not be read: {error.strerror or error}.", "Check your rights on the file.")


def _object_error(path: Path) -> InvalidInputError:
    """`path` begins with an object: one object per line, or one for the whole file."""
    with path.open("rb") as stream:
        first = stream.readline(_BUFFER_BYTES * 16)
        more = stream.read(_HEAD_BYTES).strip()
    try:
        json.loads(first.decode("utf-8-sig"))
    except ValueError:
        more = b""
    if more.startswith(b"{"):
        return InvalidInputError(
            f"{path} holds JSON lines (one object on each line), not a JSON list.",
            f"{_LIST_HINT} `jq -s . FILE` makes a list of it.",
        )
    return InvalidInputError(f"{path} holds one JSON object at its top level, not a list.", _LIST_HINT)


def _syntax_error(path: Path, size: int, number: int, reason: str) -> InvalidInputError:
    """The file is no JSON: say where, as exactly as can be found out."""
    after = f" after record {number}" if number else ""
    offset = _first_byte_not_utf8(path)
    if offset is not None:
        return InvalidInputError(
            f"{path} is not valid UTF-8: byte {offset}{after}.",
            "Save it as UTF-8; for a GBK file: iconv -f gbk -t utf-8 IN > OUT.",
        )
    where = reason.splitlines()[0] if reason else "the text breaks off"
    if size <= _LOCATE_BYTES:
        try:
            json.loads(path.read_text(encoding="utf-8-sig"))
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        except RecursionError:
            where = "brackets are nested too deeply"
    return InvalidInputError(f"{path} is not valid JSON{after}: {where}.", _LIST_HINT)


def _first_byte_not_utf8(path: Path) -> int | None:
    """Offset of the first byte that is not UTF-8, None when all are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_BUFFER_BYTES)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return done - held + error.start
            if not chunk:
                return None
            done += len(chunk)
