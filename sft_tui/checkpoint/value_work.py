"""The work that all directions share: reads, casts, counts, checksums and compares tensor after tensor, in a stream."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Iterator, List, Optional, Sequence, Tuple, Type

from sft_tui.checkpoint.piece_line import PieceLine, Rooms
from sft_tui.checkpoint.precision import ITEM_BYTES, NonFinite, cast_values, count_non_finite
from sft_tui.checkpoint.tensor_values import OpenFiles, Stretch, Values, files_of


@dataclass(frozen=True)
class Cast:
    """Values to read, and the `tensor_type` words of what they are and of what they become."""

    values: Values
    source_type: str
    target_type: str

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return self.values.nbytes // ITEM_BYTES[self.source_type] * ITEM_BYTES[self.target_type]


@dataclass(frozen=True)
class _Piece:
    cast: Cast
    stretch: Stretch


@dataclass(frozen=True)
class _Ready:
    """A piece, cast; what it held before, and how many values became infinite by the cast."""

    data: memoryview
    held: NonFinite
    overflowed: int


class CastStream:
    """Casts tensors one after the other, in the order given to it, on several threads and in constant memory.

    A context manager. For each tensor in turn call `chunks`, use it up, then ask for `checksum` and `warnings`.
    """

    def __init__(self, casts: Sequence[Cast]) -> None:
        self._files = OpenFiles()
        pieces = (_Piece(cast, stretch) for cast in casts for stretch in cast.values.pieces())
        for file in files_of([cast.values for cast in casts]):
            self._files.add(file)
        self._line = iter(PieceLine(pieces, self._prepare))
        self._summing = ThreadPoolExecutor(1, thread_name_prefix="checksum")
        self._checksum = 0
        self.warnings: List[str] = []

    def __enter__(self) -> CastStream:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._line.close()
        self._summing.shutdown()
        self._files.__exit__(kind, value, trace)

    @property
    def checksum(self) -> str:
        """CRC-32 of the tensor that `chunks` gave last, in hexadecimal."""
        return f"{self._checksum:08x}"

    def chunks(self, cast: Cast) -> Iterator[memoryview]:
        """The next tensor's bytes after the cast; each chunk is valid until the next. Raises InvalidInputError."""
        self._checksum = 0
        nan = infinite = overflowed = 0
        for _ in cast.values.pieces():
            ready = next(self._line)
            sum_ready = self._summing.submit(zlib.crc32, ready.data, self._checksum)
            yield ready.data
            self._checksum = sum_ready.result()
            nan, infinite = nan + ready.held.nan, infinite + ready.held.infinite
            overflowed += ready.overflowed
        self._warn(cast, nan, infinite, overflowed)

    def _warn(self, cast: Cast, nan: int, infinite: int, overflowed: int) -> None:
        for count, what in (
            (nan, "NaN in the source"),
            (infinite, "infinite in the source"),
            (overflowed, f"too big for {cast.target_type}: now Inf"),
        ):
            warning = f"{count:,} values of {cast.values.label} are {what}."
            if count and warning not in self.warnings:  # tied tensors are read twice
                self.warnings.append(warning)

    def _prepare(self, piece: _Piece, rooms: Rooms) -> _Ready:
        cast, (_, nbytes) = piece.cast, piece.stretch
        read = self._files.read(cast.values, piece.stretch, rooms.to_read(nbytes))
        held = count_non_finite(read, cast.source_type)
        if cast.source_type == cast.target_type:
            return _Ready(read, held, 0)
        room = rooms.other(nbytes // ITEM_BYTES[cast.source_type] * ITEM_BYTES[cast.target_type])
        data = cast_values(read, cast.source_type, cast.target_type, room)
        # float16 is too narrow for what the others hold; bfloat16 only for float32 numbers next to the very largest
        after = held if cast.target_type == "Float32" else count_non_finite(data, cast.target_type)
        return _Ready(data, held, after.infinite - held.infinite)


def compare_values(left: Sequence[Cast], right: Sequence[Values]) -> Iterator[Tuple[int, int]]:
    """For each pair: how many numbers of `left`, after its cast, differ from `right` in any bit, and the first's place.

    Raises InvalidInputError for a side that cannot be read.
    """
    with OpenFiles() as files:
        for file in files_of([*(cast.values for cast in left), *right]):
            files.add(file)

        def compare(pair: Tuple[_Piece, Values], rooms: Rooms) -> Tuple[int, int]:
            piece, other = pair
            return _compare_piece(files, piece, other, rooms)

        pairs = ((_Piece(cast, stretch), other) for cast, other in zip(left, right) for stretch in cast.values.pieces())
        line = iter(PieceLine(pairs, compare))
        for cast in left:
            wrong, first, seen = 0, -1, 0
            for _, nbytes in cast.values.pieces():
                count, place = next(line)
                if count and not wrong:
                    first = seen + place
                wrong += count
                seen += nbytes // ITEM_BYTES[cast.source_type]
            yield wrong, first


def _compare_piece(files: OpenFiles, piece: _Piece, other: Values, rooms: Rooms) -> Tuple[int, int]:
    import numpy as np

    cast, (begin, nbytes) = piece.cast, piece.stretch
    width, source_width = ITEM_BYTES[cast.target_type], ITEM_BYTES[cast.source_type]
    count, first = nbytes // source_width, begin // source_width
    room = rooms.other(2 * count * width)
    read = files.read(cast.values, piece.stretch, rooms.to_read(nbytes))
    expected = cast_values(read, cast.source_type, cast.target_type, room[: count * width])
    found = files.read(other, (first * width, count * width), room[count * width : 2 * count * width])
    differ = np.frombuffer(expected, f"<u{width}") != np.frombuffer(found, f"<u{width}")
    return int(np.count_nonzero(differ)), int(np.argmax(differ))
