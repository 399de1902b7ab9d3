"""Tells whether a file is plain text, and reads it line by line, whatever its size."""

from __future__ import annotations

import codecs
import io
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.read.data_file import HEAD_BYTES, check_head, not_utf8, unreadable
from sft_tui.errors import InvalidInputError

HINT = "Plain text is any file of UTF-8 text; blank lines part its passages."
INSTRUCTIONS_HINT = (
    "Choose the kind of data `instructions` in the profile; on the command line, convert-alpaca reads it, and "
    "preprocess --dataset_type qa."
)
_CHUNK_BYTES = 2**20
_SUFFIXES = (".txt", ".text", ".tokens", ".raw", ".md")  # .tokens and .raw: those of WikiText
_WIKITEXT_BYTES = 2**20
_RECORDS = {".json": "JSON", ".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".csv": "a CSV table"}
# a list of objects, or an object: no prose begins so
_JSON_START = re.compile(rb"\s*(\[\s*\{|\[\s*\]|\{\s*[\"}])")
# what WikiText writes for `-`, `,` and `.` within a word or number, or a heading on a line of its own
_WIKITEXT = re.compile(rb" @[-,.]@ |^ = [^\n]* = ?$", re.MULTILINE)
_BLANK_LINE = re.compile(rb"\S[ \t\r\f\v]*\n[ \t\r\f\v]*\n\s*\S")  # between two passages
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class InstructionDataError(InvalidInputError):
    """The file holds records, not plain text."""


@dataclass(frozen=True)
class TextFile:
    """A file of plain text. `size` is in bytes; `by_lines`: it has no blank line, so every line is a passage.

    `wikitext`: it has the marks of WikiText.
    """

    path: Path
    size: int
    by_lines: bool
    wikitext: bool


def find_text_file(path: Path) -> TextFile:
    """Look at a file of plain text; to know whether it has a blank line may take a look at all of it.

    Raises InvalidInputError for a file that is not there, is empty or no text; InstructionDataError where it has
    records.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InvalidInputError(f"{path} is a folder, not a file.", "Give the text file itself.")
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInputError(f"{path} is not an ordinary file.", "The text is read twice: save it to a file.")
        with path.open("rb") as stream:
            head = stream.read(_WIKITEXT_BYTES)
            _check_text(path, head[:HEAD_BYTES], found.st_size)
            stream.seek(0)
            by_lines = not any(_BLANK_LINE.search(part) for part in _overlapping(stream))
    except OSError as error:
        raise unreadable(path, error) from error
    return TextFile(path, found.st_size, by_lines, _WIKITEXT.search(head) is not None)


def _check_text(path: Path, head: bytes, size: int) -> None:
    if head.startswith(b"PAR1"):
        raise InstructionDataError(f"{path} is Parquet: that is instruction data, no plain text.", INSTRUCTIONS_HINT)
    check_head(path, head, size, HINT)
    named = _RECORDS.get(path.suffix.lower())
    if named is None and _JSON_START.match(head[len(codecs.BOM_UTF8) * head.startswith(codecs.BOM_UTF8) :]):
        named = "JSON"
    if named:
        raise InstructionDataError(f"{path} is {named}: that is instruction data, no plain text.", INSTRUCTIONS_HINT)
    if _CONTROL.search(head):
        raise InvalidInputError(f"{path} is no text: it holds control characters.", HINT)


def is_meant_as_text(path: Path) -> bool:
    """Whether a file is to be read as plain text where nobody says: by its name, unless it begins as JSON does, or by
    its beginning.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return looks_like_text(path)
    try:
        with path.open("rb") as stream:
            _check_text(path, stream.read(HEAD_BYTES), path.stat().st_size)
    except InstructionDataError:
        return False
    except (OSError, InvalidInputError):
        return True  # what it lacks to be a text is told where it is read
    return True


def check_whole(path: Path) -> None:
    """Raise InvalidInputError for bytes that are no text, anywhere in a file."""
    utf8, read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with path.open("rb") as stream:
            while True:
                chunk, held = stream.read(_CHUNK_BYTES), len(utf8.getstate()[0])
                utf8.decode(chunk, final=not chunk)
                if 0 in chunk:
                    raise InvalidInputError(f"{path} is no text: byte {read + chunk.index(0)} is 0.", HINT)
                read += len(chunk)
                if not chunk:
                    return
    except UnicodeDecodeError as error:
        raise not_utf8(path, read - held + error.start, 0) from error
    except OSError as error:
        raise unreadable(path, error) from error


def looks_like_text(path: Path) -> bool:
    """Whether the beginning of a file is plain text, and not that of a file of records."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        _check_text(path, head, path.stat().st_size)
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except (OSError, InvalidInputError, UnicodeDecodeError):
        return False
    return not head.lstrip(b" \t\r\n").startswith((b"[", b"{"))


def _overlapping(stream: io.BufferedReader) -> Iterator[bytes]:
    """The chunks of a file, each with the end of the one before it."""
    before = b""
    while chunk := stream.read(_CHUNK_BYTES):
        yield before + chunk
        before = chunk[-256:]


def read_lines(path: Path, longest: int, progress: ProgressCallback = no_progress, head: int = 0) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, each with its `\n` if it has one; a BOM is left out.

    `head`: of its first bytes alone, so many, up to the end of a line; 0: all. A line of more than `longest`
    characters comes in pieces, cut at spaces where it has some. Raises InvalidInputError for a file that cannot be
    read or is not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            yield from _lines(path, stream, longest, progress, head)
    except OSError as error:
        raise unreadable(path, error) from error


def _lines(path: Path, stream: io.BufferedReader, longest: int, progress: ProgressCallback, head: int) -> Iterator[str]:
    utf8 = codecs.getincrementaldecoder("utf-8")()
    lines = io.IncrementalNewlineDecoder(utf8, translate=True)
    size, read, text = path.stat().st_size, 0, ""
    while True:
        chunk, held = stream.read(_CHUNK_BYTES), len(utf8.getstate()[0])
        try:
            more = lines.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise not_utf8(path, read - held + error.start, 0) from error
        text += more.removeprefix("\ufeff") if not read else more
        read += len(chunk)
        *whole, text = text.split("\n")
        for line in whole:
            yield from _pieces(f"{line}\n", longest)
        if len(text) > longest:
            *pieces, text = _pieces(text, longest)
            yield from pieces
        progress(Progress(read, size, "bytes"))
        if not chunk:
            break
        if head and head <= read < size:
            if not whole:
                break  # it is all one line
            return  # what follows the last end of a line is not of the head
    if text:
        yield text


def _pieces(line: str, longest: int) -> Iterator[str]:
    """A line, cut before a space where it is too long."""
    at = 0
    while len(line) - at > longest:
        space = line.rfind(" ", at + longest // 2, at + longest)
        end = space if space > at else at + longest
        yield line[at:end]
        at = end
    yield line[at:]
