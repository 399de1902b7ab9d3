"""Tells what kind of file holds the records, by its first bytes, and says what is wrong with the file as such."""

from __future__ import annotations

import codecs
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sft_tui.errors import InvalidInputError
from sft_tui.files.stand_in import check_stand_in

# No record that a model could be trained on is larger, and one record has to fit in memory.
MAX_RECORD_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024
_PACKED = {b"\x1f\x8b": "gunzip", b"PK\x03\x04": "unzip", b"\x28\xb5\x2f\xfd": "unzstd", b"BZh": "bunzip2"}
_LINES = (".jsonl", ".ndjson")
_WRITE_OUT = "Write it out as JSON Lines, with Python:"
HINT = (
    "Records are read from a JSON list of objects [{...}, {...}], from JSON Lines (one object on each line), "
    "from .parquet, and from .csv with a header."
)

Container = Literal["json", "jsonl", "parquet", "csv"]


@dataclass(frozen=True)
class DataFile:
    """A file that begins as its `container` should. `size` is in bytes."""

    path: Path
    container: Container
    size: int

    @property
    def is_table(self) -> bool:
        """Whether the file says for all records together which fields they have."""
        return self.container in ("csv", "parquet")


def find_data_file(path: Path) -> DataFile:
    """Look at the beginning of `path`. The content decides; the name only where content cannot (CSV, JSON Lines).

    Raises InvalidInputError for a file that is not there, is empty, is no UTF-8 or of no kind that we read.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            _check_saved(path)
            raise InvalidInputError(f"{path} is a folder, not a file.", "Give the data file itself.")
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInputError(f"{path} is not an ordinary file.", "The data is read twice: save it to a file.")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if head.startswith(b"PAR1"):
        return DataFile(path, "parquet", found.st_size)
    check_head(path, head, found.st_size, HINT)
    text = head[len(codecs.BOM_UTF8) :] if head.startswith(codecs.BOM_UTF8) else head
    text = text.lstrip(b" \t\r\n")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return DataFile(path, "csv", found.st_size)
    if suffix in _LINES or (text.startswith(b"{") and _is_lines(path)):
        return DataFile(path, "jsonl", found.st_size)
    if text.startswith(b"{"):
        raise InvalidInputError(f"{path} holds one JSON object at its top level, not a list.", HINT)
    # Whatever else it is, the reader of JSON says best where it is none.
    return DataFile(path, "json", found.st_size)


def _check_saved(folder: Path) -> None:
    """Say of a folder that `datasets` saved how its records are written out."""
    splits = folder / "dataset_dict.json"
    if not splits.is_file() and not (folder / "dataset_info.json").is_file():
        return
    shown = f"load_from_disk({str(folder)!r})" + ("['train']" if splits.is_file() else "")
    command = f"from datasets import load_from_disk; {shown}.to_json('data.jsonl')"
    raise InvalidInputError(f"{folder} was written by save_to_disk of the library datasets.", f"{_WRITE_OUT} {command}")


def check_head(path: Path, head: bytes, size: int, hint: str) -> None:
    """Raise InvalidInputError for what no data begins with; `hint`: what to give in place of an empty file."""
    if size <= HEAD_BYTES and not head.strip(b" \t\r\n" + codecs.BOM_UTF8):
        raise InvalidInputError(f"{path} is empty.", hint)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInputError(f"{path} is UTF-16, not UTF-8.", "Save it as UTF-8.")
    check_stand_in(path, head, "the data itself")
    for magic, tool in _PACKED.items():
        if head.startswith(magic):
            raise InvalidInputError(f"{path} is compressed.", f"Unpack it first: {tool}.")
    if path.suffix.lower() == ".arrow" or head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        command = f"from datasets import Dataset; Dataset.from_file({str(path)!r}).to_json('data.jsonl')"
        raise InvalidInputError(f"{path} is an Arrow file of the library datasets.", f"{_WRITE_OUT} {command}")
    if path.suffix.lower() == ".parquet":
        raise InvalidInputError(f"{path} is not Parquet: it does not begin with `PAR1`.", "Download or write it anew.")


def _is_lines(path: Path) -> bool:
    """Whether the object that `path` begins with ends with its line, and another line follows."""
    with path.open("rb") as stream:
        line = b" "
        while line and not line.strip(b" \t\r\n" + codecs.BOM_UTF8):
            line = stream.readline(MAX_RECORD_BYTES)
        more = stream.read(HEAD_BYTES).lstrip(b" \t\r\n")
    if not more:
        return False
    try:
        json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        # A spoilt line, or an object laid out over many lines, of which the first one ends in the midst of it.
        return more.startswith(b"{") and not line.rstrip().endswith((b"{", b"[", b","))
    return True


def unreadable(path: Path, error: OSError) -> InvalidInputError:
    """The system would not let us read."""
    if isinstance(error, FileNotFoundError):
        return InvalidInputError(f"{path} does not exist.", "Check the path.")
    return InvalidInputError(f"{path} could not be read: {error.strerror or error}.", "Check your rights on the file.")


def not_utf8(path: Path, offset: int, after: int) -> InvalidInputError:
    """The byte at `offset` is not UTF-8; `after` records had been read by then."""
    return InvalidInputError(
        f"{path} is not valid UTF-8: byte {offset}{after_record(after)}.",
        "Save it as UTF-8; for a GBK file: iconv -f gbk -t utf-8 IN > OUT.",
    )


def too_large(path: Path, number: int) -> InvalidInputError:
    """Record `number` does not end where any record should have."""
    return InvalidInputError(
        f"{path}: record {number} is larger than {MAX_RECORD_BYTES // 2**20} MB.",
        "Is a bracket or a quote left open? Mend, cut or remove the record.",
    )


def after_record(count: int) -> str:
    """Where in the file, by the records before it."""
    return f" after record {count}" if count else ""
