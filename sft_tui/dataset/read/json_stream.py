"""Reads JSON lists and JSON Lines one item at a time, whatever the size of the file, and says where it is wrong."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import BinaryIO, Iterator, Tuple, Union

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.read.data_file import (
    CHUNK_BYTES,
    HINT,
    MAX_RECORD_BYTES,
    after_record,
    not_utf8,
    too_large,
    unreadable,
)
from sft_tui.dataset.read.doubled import build_object
from sft_tui.errors import InvalidInputError

_SPACE = re.compile(r"[ \t\n\r]*")
_HALF_NUMBER = re.compile(r"\.|[eE][+-]?")
# Python's parser gives up within so many characters of the place where a text was cut, but for strings.
_NEAR_THE_CUT = 16
_MOST_DIGITS = 1000


def _number(digits: str) -> Union[int, float]:
    # Python refuses, or takes long over, integers of thousands of digits
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_number, object_pairs_hook=build_object)


def stream_items(path: Path, progress: ProgressCallback = no_progress) -> Iterator[Tuple[int, object]]:
    """Yield (number, item) of the JSON list in `path`; numbers count from 1. Memory does not grow with the file.

    `progress` hears of bytes. An object with a key twice is a DoubledKeys. Raises InvalidInputError, with the place,
    for what is not a JSON list in UTF-8 or has an item larger than 32 MB; items before the broken place have been
    yielded by then.
    """
    try:
        with path.open("rb") as stream:
            yield from _List(path, stream, progress).items()
    except OSError as error:
        raise unreadable(path, error) from error


def stream_lines(path: Path, progress: ProgressCallback = no_progress) -> Iterator[Tuple[int, object]]:
    """Yield (number, item) of a file of JSON Lines; empty lines do not count. All else as in `stream_items`."""
    number = line_number = offset = told = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            for line in iter(lambda: stream.readline(MAX_RECORD_BYTES + 1), b""):
                line_number += 1
                if len(line) > MAX_RECORD_BYTES:
                    raise too_large(path, number + 1)
                skipped = len(codecs.BOM_UTF8) if not offset and line.startswith(codecs.BOM_UTF8) else 0
                if line[skipped:].strip(b" \t\r\n"):
                    item = _parse_line(path, line[skipped:], offset + skipped, line_number, number)
                    number += 1
                    yield number, item
                offset += len(line)
                if offset - told >= CHUNK_BYTES or offset == size:
                    told = offset
                    progress(Progress(offset, size, "bytes"))
    except OSError as error:
        raise unreadable(path, error) from error


def _parse_line(path: Path, line: bytes, offset: int, line_number: int, before: int) -> object:
    """The value on one line, which begins at byte `offset` and has `before` records before it."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise not_utf8(path, offset + error.start, before) from error
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        byte = offset + len(text[: error.pos].encode())
        reason = f"line {line_number}, column {error.pos + 1} (byte {byte}): {_reason(error)}"
        raise _not_json(path, before, reason, "Each line must hold one whole JSON object.") from error
    except RecursionError as error:
        reason = f"line {line_number} (byte {offset}): brackets are nested too deeply"
        raise _not_json(path, before, reason) from error


class _List:
    """A window over the text of a JSON list, moved along from item to item."""

    def __init__(self, path: Path, stream: BinaryIO, progress: ProgressCallback) -> None:
        self._path = path
        self._stream = stream
        self._progress = progress
        self._size = path.stat().st_size
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0  # where in the text the next thing begins
        self._start = 0  # what byte of the file the text begins with
        self._read = 0  # bytes read so far
        self._line = 1  # line that the text begins in, and how many characters of it went before
        self._column = 0
        self._ended = False
        self._number = 0

    def items(self) -> Iterator[Tuple[int, object]]:
        """Yield (number, item) to the end of the list, and see that nothing follows."""
        if self._stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            self._start = self._read = len(codecs.BOM_UTF8)
        else:
            self._stream.seek(0)
        if self._next() != "[":
            raise self._error(self._at, "neither a list nor an object begins here")
        self._at += 1
        if self._next() == "]":
            self._at += 1
        else:
            mark = ","
            while mark == ",":
                if self._next() == "]":
                    raise self._error(self._at, "a comma stands before the closing `]`")
                item = self._value()
                self._number += 1
                yield self._number, item
                mark = self._next()
                if mark not in (",", "]"):
                    raise self._error(self._at, "Expecting ',' delimiter")
                self._at += 1
        if self._next():
            raise self._error(self._at, "Extra data after the list")

    def _next(self) -> str:
        """Go over white space; the character there, "" at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def _value(self) -> object:
        """The value that begins here, reading on until it is whole."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR_THE_CUT
                if self._ended or not is_cut:
                    raise self._error(error.pos, _reason(error)) from error
            except RecursionError as error:
                raise self._error(self._at, "brackets are nested too deeply") from error
            else:
                # Of "1.5e+3" the parser takes "1.5" when the text was cut behind the sign.
                ahead = _NEAR_THE_CUT if isinstance(value, (int, float)) else 0
                if end + ahead < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._let_go()
            held = self._read - self._start
            if held > MAX_RECORD_BYTES:
                raise too_large(self._path, self._number + 1)
            # Twice as much each time, so that a large item is not parsed over and over.
            self._fill(max(CHUNK_BYTES, min(held, MAX_RECORD_BYTES + CHUNK_BYTES - held)))

    def _let_go(self) -> None:
        """Drop the text that is done with."""
        if self._at:
            gone = self._text[: self._at]
            self._start += len(gone.encode())
            lines = gone.count("\n")
            self._line += lines
            self._column = len(gone) - gone.rfind("\n") - 1 if lines else self._column + len(gone)
            self._text = self._text[self._at :]
            self._at = 0

    def _fill(self, size: int = CHUNK_BYTES) -> bool:
        """Drop what is done with and read on. False at the end of the file."""
        self._let_go()
        if self._ended:
            return False
        chunk = self._stream.read(size)
        held = len(self._decode.getstate()[0])
        try:
            self._text += self._decode.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise not_utf8(self._path, self._read - held + error.start, self._number) from error
        self._read += len(chunk)
        self._ended = not chunk
        self._progress(Progress(self._read, self._size, "bytes"))
        return bool(chunk)

    def _error(self, position: int, reason: str) -> InvalidInputError:
        before = self._text[:position]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") if lines else self._column + len(before) + 1
        byte = self._start + len(before.encode())
        where = f"line {self._line + lines}, column {column} (byte {byte}): {reason}"
        if self._ended and _breaks_off(self._text, position, reason):
            where += f"; the file breaks off at byte {self._read}"
            return _not_json(self._path, self._number, where, "Is it whole? Copy or download it again.")
        return _not_json(self._path, self._number, where)


def _breaks_off(text: str, position: int, reason: str) -> bool:
    """Whether the text is right up to its end, by the error of Python's parser."""
    rest = text[position:].rstrip()
    if not rest or reason.startswith("Unterminated"):
        return True
    is_escape = "escape" in reason and len(rest) < len("\\u0000")
    return (
        is_escape
        or _HALF_NUMBER.fullmatch(rest) is not None
        or any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "Infinity", "-Infinity"))
    )


def _not_json(path: Path, before: int, reason: str, hint: str = HINT) -> InvalidInputError:
    return InvalidInputError(f"{path} is not valid JSON{after_record(before)}: {reason}.", hint)


def _reason(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    if error.doc[error.pos : error.pos + 1] in ("]", "}") and before.endswith(","):
        return f"a comma stands before the closing `{error.doc[error.pos]}`"
    if error.msg.startswith("Illegal trailing comma"):
        return "a comma stands before the closing bracket"
    # "Unterminated string starting at": the place is told apart
    return error.msg.replace(" starting at", "").removesuffix(" at")
