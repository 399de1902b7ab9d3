"""Reads the rows of CSV and Parquet files, a few at a time."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.read.bad_record import BadRecord, show_names
from sft_tui.dataset.read.data_file import CHUNK_BYTES, MAX_RECORD_BYTES, after_record, not_utf8, too_large, unreadable
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

# Rows that are in memory as Python objects at one time.
_PARQUET_ROWS = 128
_CSV_HINT = (
    "A CSV file is separated by commas, its first line names the columns, and cells with commas, quotes or line "
    'breaks stand in quotes: "like ""this""".'
)
_MAX_COLUMNS = 10_000
_ROW_HINT = "Put cells that hold commas or line breaks in quotes."


def read_csv(path: Path, progress: ProgressCallback = no_progress) -> Iterator[Tuple[int, object]]:
    """Yield (number, row) of a CSV file, numbers from 1; a row is a dict of texts, or a BadRecord.

    `progress` hears of bytes. Raises InvalidInputError, with the line, for what is no CSV with a header in UTF-8.
    """
    number = 0
    lines = _Lines(path, progress)
    try:
        rows = lines.rows()
        header = _check_header(path, next(rows, []))
        for row in rows:
            number += 1
            if len(row) == len(header):
                yield number, dict(zip(header, row))
            else:
                reason = f"has {len(row)} cells, but the header names {len(header)} columns."
                yield number, BadRecord(str(path), number, "", reason, _ROW_HINT)
    except csv.Error as error:
        where = f"line {lines.row_begins}{after_record(number)}"
        raise InvalidInputError(f"{path} is not valid CSV: {where}: {error}.", _CSV_HINT) from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, _first_byte_not_utf8(path), number) from error
    except OSError as error:
        raise unreadable(path, error) from error


def csv_columns(path: Path) -> List[str]:
    """The names in the header. Raises InvalidInputError."""
    names: List[str] = []
    try:
        names = next(_Lines(path, no_progress).rows(), [])
    except csv.Error as error:
        raise InvalidInputError(f"{path} is not valid CSV: its header: {error}.", _CSV_HINT) from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, _first_byte_not_utf8(path), 0) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return _check_header(path, names)


class _Lines:
    """The lines of a CSV file for Python's csv, which would take a line, or an open quote, of any length."""

    def __init__(self, path: Path, progress: ProgressCallback) -> None:
        self._path = path
        self._progress = progress
        self._number = 0
        self._held = 0
        self.row_begins = 1
        self._rows = 0

    def rows(self) -> Iterator[List[str]]:
        """Yield the cells of each row; empty lines are none."""
        # The limit belongs to the whole process; csv's own is too small for an answer of some length.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
        for row in csv.reader(self._lines(), strict=True):
            self.row_begins, self._held = self._number + 1, 0
            if row:
                self._rows += 1
                yield row

    def _lines(self) -> Iterator[str]:
        size, told = self._path.stat().st_size, 0
        # newline="": line breaks inside of quotes stay what they are
        with self._path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
            for line in iter(lambda: stream.readline(MAX_RECORD_BYTES + 1), ""):
                self._number += 1
                self._held += len(line) if line.isascii() else len(line.encode())
                if self._held > MAX_RECORD_BYTES:
                    raise too_large(self._path, self._rows)
                if "\0" in line:  # Python 3.11 takes it, older ones do not
                    raise csv.Error("a zero byte, which no text has")
                yield line
                done = raw.tell()
                if done - told >= CHUNK_BYTES:
                    told = done
                    self._progress(Progress(done, size, "bytes"))
        self._progress(Progress(size, size, "bytes"))


def _check_header(path: Path, names: List[str]) -> List[str]:
    if not any(name.strip() for name in names):
        raise InvalidInputError(f"{path} has no header.", _CSV_HINT)
    return _check_names(path, names)


def _check_names(path: Path, names: List[str]) -> List[str]:
    if len(names) > _MAX_COLUMNS:
        message = f"{path} has {len(names):,} columns; at most {_MAX_COLUMNS:,} are read."
        raise InvalidInputError(message, "Is it a table of instructions and answers?")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InvalidInputError(f"{path} has two columns of one name: {show_names(twice)}.", "Rename one of them.")
    return names


def _first_byte_not_utf8(path: Path) -> int:
    """Offset of the first byte that is not UTF-8; the size of the file when all are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK_BYTES)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return done - held + error.start
            if not chunk:
                return done
            done += len(chunk)


def read_parquet(
    path: Path, columns: Optional[Sequence[str]] = None, progress: ProgressCallback = no_progress
) -> Iterator[Tuple[int, object]]:
    """Yield (number, row) of a Parquet file, numbers from 1; a row is a dict of `columns` (None: all), or a BadRecord.

    `progress` hears of rows. Raises InvalidInputError for what pyarrow cannot read, EnvironmentNotFitError without it.
    """
    with _open_parquet(path) as file:
        total, number = file.metadata.num_rows, 0
        batches = file.iter_batches(batch_size=_PARQUET_ROWS, columns=columns, use_threads=False)
        for batch in batches:
            for row in _rows(path, batch, number):
                number += 1
                yield number, row
            progress(Progress(number, total, "rows"))


def parquet_columns(path: Path) -> List[str]:
    """The names of the columns. Raises InvalidInputError, EnvironmentNotFitError."""
    with _open_parquet(path) as file:
        return _check_names(path, list(file.schema_arrow.names))


def column_kinds(path: Path) -> Dict[str, str]:
    """The columns and their types, in pyarrow's words. Raises as `parquet_columns`."""
    with _open_parquet(path) as file:
        return {column.name: str(column.type) for column in file.schema_arrow}


def full_columns(path: Path, names: Sequence[str]) -> List[str]:
    """Those of the columns that hold something; reads no further than to the first value of each.

    The file's statistics are not asked: pyarrow 19.0.0 dies of those of newer files. Raises as `parquet_columns`.
    """
    empty = list(names)
    with _open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=empty, use_threads=False) if empty else ():
            empty = [name for name in empty if batch.column(name).null_count == batch.num_rows]
            if not empty:
                break
    return [name for name in names if name not in empty]


def _rows(path: Path, batch: Any, before: int) -> Iterator[object]:  # noqa: ANN401 - pyarrow has no types
    if batch.nbytes > MAX_RECORD_BYTES:
        for index in range(batch.num_rows):
            if batch.slice(index, 1).nbytes > MAX_RECORD_BYTES:
                raise too_large(path, before + index + 1)
    try:
        rows: List[object] = batch.to_pylist()
    except ValueError:  # a text that is not UTF-8: find out whose
        rows = [_row(path, batch, index, before + index + 1) for index in range(batch.num_rows)]
    yield from rows


def _row(path: Path, batch: Any, index: int, number: int) -> object:  # noqa: ANN401
    row: Dict[str, object] = {}
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            row[name] = column[index].as_py()
        except ValueError:
            reason = f"field `{name}` cannot be read as {column.type}; is it UTF-8?"
            return BadRecord(str(path), number, name, reason, "Mend the record, or write the file anew.")
    return row


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    """The file as pyarrow's ParquetFile; what pyarrow raises about it becomes InvalidInputError."""
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise EnvironmentNotFitError(
            f"{path} is Parquet, and pyarrow, which reads it, is not installed.",
            "pip install 'sft-tui[parquet]', or pip install pyarrow.",
        ) from error
    try:
        # Otherwise the columns of a whole row group are read at once, which may be the whole file.
        with parquet.ParquetFile(path, buffer_size=CHUNK_BYTES, pre_buffer=False) as file:
            yield file
    except (arrow.ArrowException, OSError, ValueError, MemoryError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        # apache/arrow issue 45283, in the one version that MindFormers 1.7.0 asks for
        if "histogram size mismatch" in reason and arrow.__version__ == "19.0.0":
            raise EnvironmentNotFitError(
                f"pyarrow 19.0.0 cannot read {path}, as newer programs write it.",
                "pip install 'pyarrow>=19.0.1', in an environment without MindFormers where it wants 19.0.0; "
                "or save the data as JSON Lines.",
            ) from error
        raise InvalidInputError(
            f"{path} could not be read as Parquet: {reason}.", "Is it whole? Download or write it anew."
        ) from error
