"""Copies tensors from file to file with a cast, or compares them, in pieces on threads: for all directions.

Each thread takes a piece all the way: reads, casts, counts, checksums and writes it at its place in the file, while
it is in the cache. Places are known before; checksums of pieces are combined.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Callable, Iterator, List, Protocol, Sequence, Tuple

from sft_tui.checkpoint.copy.checksum import combine_crc32
from sft_tui.checkpoint.copy.low_rank import Addition
from sft_tui.checkpoint.copy.ordered_pool import PieceLine, Rooms
from sft_tui.checkpoint.copy.precision import ITEM_BYTES, OVERFLOWING, NonFinite, cast_values, count_non_finite
from sft_tui.checkpoint.copy.tensor_values import OpenFiles, Values, files_of
from sft_tui.checkpoint.formats.run import Stretch
from sft_tui.core.progress import Progress, ProgressCallback
from sft_tui.errors import EnvironmentNotFitError, SftError


class Sink(Protocol):
    """A file that several threads write to."""

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the data at that place."""


@dataclass(frozen=True)
class Cast:
    """Values to read, and the `tensor_type` words of what they are and of what they become.

    With `additions` their rows are added to, in float32, before they are cast; they are cut between rows then.
    """

    values: Values
    source_type: str
    target_type: str
    additions: Tuple[Addition, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return self.to_target(self.values.nbytes)

    def to_target(self, source_bytes: int) -> int:
        """Bytes of the result of so many bytes of the source."""
        return source_bytes // ITEM_BYTES[self.source_type] * ITEM_BYTES[self.target_type]

    @property
    def reads(self) -> Tuple[Values, ...]:
        """All that is read for it."""
        return (self.values, *(values for addition in self.additions for values in (addition.a, addition.b)))

    def read(self, files: OpenFiles, block: Stretch, rooms: Rooms) -> Tuple[memoryview, str]:
        """The numbers of a block before the cast, and what they are. Raises InvalidInputError."""
        import numpy as np

        read = files.read(self.values, block, rooms.to_read(block[1]))
        if not self.additions:
            return read, self.source_type
        floats = np.frombuffer(cast_values(read, self.source_type, "Float32"), "<f4").reshape(
            -1, self.additions[0].columns
        )
        for addition in self.additions:
            addition.add_to(files, block[0] // self.values.row_bytes, floats)
        return floats.reshape(-1).data.cast("B"), "Float32"


@dataclass(frozen=True)
class Copy:
    """A tensor to write under `name`: what to read, and where its stretches go in the file, one after the other."""

    name: str
    cast: Cast
    places: Tuple[Stretch, ...]

    def parts(self, begin: int, nbytes: int) -> Iterator[Tuple[int, int, int]]:
        """For a part of the result: begin and end in it, and the place in the file, for each stretch it touches."""
        at = 0
        for offset, length in self.places:
            first, last = max(begin, at), min(begin + nbytes, at + length)
            if first < last:
                yield first - begin, last - begin, offset + first - at
            at += length


@dataclass(frozen=True)
class _Piece:
    copy: Copy
    stretch: Stretch


@dataclass
class _Seen:
    """What was written of a piece or of a tensor, and what its numbers were."""

    nbytes: int = 0
    crc32: int = 0
    nan: int = 0
    infinite: int = 0
    overflowed: int = 0

    def add(self, more: _Seen) -> None:
        """Append what follows."""
        self.crc32 = combine_crc32(self.crc32, more.crc32, more.nbytes)
        self.nbytes += more.nbytes
        self.nan += more.nan
        self.infinite += more.infinite
        self.overflowed += more.overflowed


@dataclass(frozen=True)
class Copied:
    """What `copy_values` found: CRC-32 of each tensor as written, in hexadecimal, and warnings that name tensors."""

    checksums: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)


class ByteCount:
    """Tells somebody who watches how far a file of `total` bytes is; all but `content` of them stand already."""

    def __init__(self, total: int, content: int, progress: ProgressCallback) -> None:
        self._total = total
        self._done = total - content
        self._progress = progress

    def __call__(self, name: str, nbytes: int) -> None:
        self._done += nbytes
        self._progress(Progress(self._done, self._total, "bytes", name))


def copy_values(copies: Sequence[Copy], sink: Sink, progress: Callable[[str, int], None]) -> Copied:
    """Read, cast, count, checksum and write tensors, on several threads and in constant memory.

    `progress` is told the tensor and how many more bytes of it are written. Raises InvalidInputError when a source ends
    early, SftError naming the tensor when `sink` cannot be written.
    """
    copied = Copied()
    with OpenFiles(files_of([values for copy in copies for values in copy.cast.reads])) as files:

        def work(piece: _Piece, rooms: Rooms) -> _Seen:
            return _copy_piece(files, sink, piece, rooms)

        pieces = (_Piece(copy, stretch) for copy in copies for stretch in copy.cast.values.pieces())
        line = iter(PieceLine(pieces, work))
        try:
            for copy in copies:
                whole = _Seen()
                for _ in copy.cast.values.pieces():
                    seen = next(line)
                    whole.add(seen)
                    progress(copy.name, seen.nbytes)
                copied.checksums.append(f"{whole.crc32:08x}")
                _warn(copy, whole, copied.warnings)
        finally:
            line.close()
    return copied


def _copy_piece(files: OpenFiles, sink: Sink, piece: _Piece, rooms: Rooms) -> _Seen:
    copy, cast, seen = piece.copy, piece.copy.cast, _Seen()
    for begin, nbytes in cast.values.blocks(piece.stretch):
        read, source_type = cast.read(files, (begin, nbytes), rooms)
        held = count_non_finite(read, source_type, rooms.workspace)
        after, data = held, read
        if source_type != cast.target_type:
            room = rooms.other(cast.to_target(nbytes))
            finite = held == NonFinite()
            data = cast_values(read, source_type, cast.target_type, room, rooms.workspace, finite=finite)
            if (source_type, cast.target_type) in OVERFLOWING:
                after = count_non_finite(data, cast.target_type, rooms.workspace)
        for first, last, place in copy.parts(cast.to_target(begin), len(data)):
            write_tensor_bytes(sink, copy.name, place, data[first:last])
        seen.crc32 = zlib.crc32(data, seen.crc32)
        seen.nbytes += len(data)
        _count(seen, held, after)
    return seen


def write_tensor_bytes(sink: Sink, name: str, offset: int, data: memoryview) -> None:
    """Write some bytes of a tensor; raises SftError naming it.

    There was room when the work began: a full disk is a failure now, and no longer an environment that does not fit.
    """
    try:
        sink.write_at(offset, data)
    except EnvironmentNotFitError as error:
        raise SftError(f"Stopped in tensor {name!r}: {error.message}", error.hint) from error


def _count(seen: _Seen, held: NonFinite, after: NonFinite) -> None:
    seen.nan += held.nan
    seen.infinite += held.infinite
    seen.overflowed += after.infinite - held.infinite


def _warn(copy: Copy, seen: _Seen, warnings: List[str]) -> None:
    for count, what in (
        (seen.nan, "NaN in the source"),
        (seen.infinite, "infinite in the source"),
        (seen.overflowed, f"too big for {copy.cast.target_type}: now Inf"),
    ):
        warning = f"{count:,} values of {copy.cast.values.label} are {what}."
        if count and warning not in warnings:  # tied tensors are read twice
            warnings.append(warning)


def compare_values(left: Sequence[Cast], right: Sequence[Values]) -> Iterator[Tuple[int, int]]:
    """For each pair: how many numbers of `left`, after its cast, differ from `right` in any bit, and the first's place.

    Raises InvalidInputError for a side that cannot be read.
    """
    with OpenFiles(files_of([*(values for cast in left for values in cast.reads), *right])) as files:

        def work(pair: Tuple[Cast, Stretch, Values], rooms: Rooms) -> Tuple[int, int]:
            return _compare_piece(files, *pair, rooms)

        pairs = ((cast, piece, other) for cast, other in zip(left, right) for piece in cast.values.pieces())
        line = iter(PieceLine(pairs, work))
        try:
            for cast in left:
                wrong, first = 0, -1
                for _ in cast.values.pieces():
                    count, place = next(line)
                    first = place if count and not wrong else first
                    wrong += count
                yield wrong, first
        finally:
            line.close()


def _compare_piece(files: OpenFiles, cast: Cast, piece: Stretch, other: Values, rooms: Rooms) -> Tuple[int, int]:
    """How many numbers of a piece differ, and the place of the first in the tensor."""
    import numpy as np

    width = ITEM_BYTES[cast.target_type]
    wrong, first = 0, -1
    for begin, nbytes in cast.values.blocks(piece):
        size, at = cast.to_target(nbytes), cast.to_target(begin)
        room = rooms.other(2 * size)
        read, source_type = cast.read(files, (begin, nbytes), rooms)
        expected = cast_values(read, source_type, cast.target_type, room[:size], rooms.workspace)
        found = files.read(other, (at, size), room[size : 2 * size])
        differ = np.frombuffer(expected, f"<u{width}") != np.frombuffer(found, f"<u{width}")
        count = int(np.count_nonzero(differ))
        first = at // width + int(np.argmax(differ)) if count and not wrong else first
        wrong += count
    return wrong, first
