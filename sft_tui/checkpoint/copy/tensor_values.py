"""Reads the values of one tensor in the order in which they are to be written, a piece at a time, from any thread."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Dict, Iterator, Optional, Sequence, Tuple, Type

from sft_tui.checkpoint.formats.run import Run, Stretch
from sft_tui.checkpoint.formats.source_file import DOWNLOAD_HINT, not_read
from sft_tui.checkpoint.formats.tensor_entry import DTYPE_BYTES, TensorEntry
from sft_tui.errors import InvalidInputError

# What a thread takes at a time: big enough that handing it over costs little.
PIECE_BYTES = 8 * 1024 * 1024
# What it reads, casts and writes at a time: small enough for its processor's cache. A turned matrix is read in strips,
# which want to be wider.
BLOCK_BYTES = 1024 * 1024
TURNED_BLOCK_BYTES = 2 * 1024 * 1024
# Rows shorter than this are read together with what lies between them.
SHORT_BYTES = 64 * 1024
# A row of which at least one part in so many is wanted is wanted for the most part.
_MOSTLY = 4


@dataclass(frozen=True)
class TurnedMatrix:
    """Columns of a matrix that is kept row by row in a run: sizes in numbers, `pitch` the length of a whole row.

    `first_column` counts from the start of the run: with whole rows more it is a block further down.
    """

    run: Run
    rows: int
    columns: int
    first_column: int
    pitch: int


@dataclass(frozen=True)
class RowsOfRun:
    """In each `period` bytes of a run, `count` from `first` on: rows of a tensor that lie among those of others."""

    run: Run
    first: int
    count: int
    period: int


@dataclass(frozen=True)
class Values:
    """The values of a tensor as it is written: runs one after the other, or matrices turned and put side by side, or
    some of the rows of a run.

    `width` is the size of a number, `nbytes` that of all, in bytes, as they are in the file. With `row_bytes` they are
    cut between rows of that size alone.
    """

    width: int
    nbytes: int
    runs: Tuple[Run, ...] = ()
    matrices: Tuple[TurnedMatrix, ...] = ()
    rows: Optional[RowsOfRun] = None
    row_bytes: int = 0

    @property
    def label(self) -> str:
        """The tensor's name in the file."""
        return self.all_runs[0].label

    @property
    def all_runs(self) -> Tuple[Run, ...]:
        """Where the values are read from."""
        return self.runs or ((self.rows.run,) if self.rows else tuple(matrix.run for matrix in self.matrices))

    def pieces(self) -> Iterator[Stretch]:
        """What to hand to a thread: begin and length in bytes."""
        return self._cut(0, self.nbytes, PIECE_BYTES)

    def blocks(self, piece: Stretch) -> Iterator[Stretch]:
        """What to read at a time of a piece: begin and length in bytes."""
        return self._cut(*piece, TURNED_BLOCK_BYTES if self.matrices else BLOCK_BYTES)

    def _cut(self, begin: int, nbytes: int, step: int) -> Iterator[Stretch]:
        """Between numbers, between rows of a turned matrix, and between short rows."""
        unit = sum(matrix.rows for matrix in self.matrices) * self.width or self.row_bytes or self.width
        if self.rows is not None and self.rows.count < SHORT_BYTES:
            unit = self.rows.count
        step = max(1, step // unit) * unit
        for at in range(begin, begin + nbytes, step):
            yield at, min(step, begin + nbytes - at)


def whole_values(entry: TensorEntry) -> Values:
    """A tensor as it stands in its file."""
    run = Run(entry.file, entry.name, ((entry.offset, entry.nbytes),))
    return Values(DTYPE_BYTES[entry.dtype], entry.nbytes, (run,))


class OpenFiles:
    """Files that several threads read from. Raises InvalidInputError."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._stack = ExitStack()
        self._handles: Dict[Path, int] = {}

    def __enter__(self) -> OpenFiles:
        for file in self._files:
            try:
                self._handles[file] = os.open(file, os.O_RDONLY)
            except OSError as error:
                self._stack.close()
                raise not_read(file, error) from error
            self._stack.callback(os.close, self._handles[file])
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stack.close()

    def read(self, values: Values, piece: Stretch, room: memoryview) -> memoryview:
        """The bytes of a piece, in `room`. Raises InvalidInputError naming file and tensor."""
        begin, nbytes = piece
        if values.matrices:
            return self._read_turned(values, begin, nbytes, room[:nbytes])
        if values.rows is not None:
            return self._read_rows(values.rows, begin, nbytes, room[:nbytes])
        target, filled = room[:nbytes], 0
        for run in values.runs:
            length = sum(size for _, size in run.stretches)
            if begin < length:
                part = min(nbytes - filled, length - begin)
                self._read_run(run, begin, target[filled : filled + part])
                filled += part
            begin = max(0, begin - length)
            if filled == nbytes:
                break
        return target

    def _read_run(self, run: Run, at: int, target: memoryview) -> None:
        handle = self._handles[run.file]
        for offset, length in run.stretches:
            if at >= length:
                at -= length
                continue
            part = target[: length - at]
            while len(part):
                got = _read_into(handle, part, offset + at, run)
                part, target, at = part[got:], target[got:], at + got
            at = 0
            if not len(target):
                return

    def _read_rows(self, rows: RowsOfRun, begin: int, nbytes: int, target: memoryview) -> memoryview:
        """Long rows one by one; of short ones all that lies between as well, which costs less than asking often."""
        at, filled = begin, 0
        if rows.count < SHORT_BYTES and not begin % rows.count and not nbytes % rows.count:
            return self._read_short_rows(rows, begin // rows.count, nbytes // rows.count, target)
        while filled < nbytes:
            group, within = divmod(at, rows.count)
            part = min(rows.count - within, nbytes - filled)
            place = group * rows.period + rows.first + within
            self._read_run(rows.run, place, target[filled : filled + part])
            at, filled = at + part, filled + part
        return target

    def _read_short_rows(self, rows: RowsOfRun, first: int, groups: int, target: memoryview) -> memoryview:
        import numpy as np

        step = max(1, BLOCK_BYTES // rows.period)
        into = np.frombuffer(target, np.uint8).reshape(groups, rows.count)
        read = np.empty((min(step, groups), rows.period), np.uint8)
        for at in range(0, groups, step):
            some = read[: min(step, groups - at)]
            self._read_run(rows.run, (first + at) * rows.period, some.reshape(-1).data.cast("B"))
            into[at : at + len(some)] = some[:, rows.first : rows.first + rows.count]
        return target

    def _read_turned(self, values: Values, begin: int, nbytes: int, target: memoryview) -> memoryview:
        import numpy as np

        width, row_bytes = values.width, sum(matrix.rows for matrix in values.matrices) * values.width
        first, count = begin // row_bytes, nbytes // row_bytes
        turned = np.frombuffer(target, f"<u{width}").reshape(count, -1)
        place = 0
        for matrix in values.matrices:
            # of rows that are wanted for the most part several are read at a time, with what lies between
            together = max(1, BLOCK_BYTES // (matrix.pitch * width)) if count * _MOSTLY >= matrix.pitch else 1
            room = np.empty((together - 1) * matrix.pitch + count, f"<u{width}")
            for row in range(0, matrix.rows, together):
                number = min(together, matrix.rows - row)
                length = (number - 1) * matrix.pitch + count
                at = (row * matrix.pitch + matrix.first_column + first) * width
                self._read_run(matrix.run, at, room[:length].data.cast("B"))
                steps = (matrix.pitch * width, width)
                lines = np.lib.stride_tricks.as_strided(room, (number, count), steps, writeable=False)
                turned[:, place + row : place + row + number] = lines.T
            place += matrix.rows
        return target


def _read_into(handle: int, target: memoryview, at: int, run: Run) -> int:
    try:
        got = os.preadv(handle, [target], at)
    except OSError as error:
        failure = not_read(run.file, error)
        raise InvalidInputError(f"Tensor {run.label!r}: {failure.message}", failure.hint) from error
    if not got:
        raise InvalidInputError(f"{run.file} ends inside tensor {run.label!r}.", DOWNLOAD_HINT)
    return got


def files_of(values: Sequence[Values]) -> Tuple[Path, ...]:
    """The files that these values are in, each once, in order."""
    return tuple(dict.fromkeys(run.file for item in values for run in item.all_runs))
