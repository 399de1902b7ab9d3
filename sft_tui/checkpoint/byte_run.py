"""Reads stretches of a file one after the other, a chunk at a time, into one buffer."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Iterator, List, Optional, Sequence, Tuple, Type

from sft_tui.checkpoint.source_file import DOWNLOAD_HINT, not_read
from sft_tui.errors import InvalidInputError

# Small enough to stay in the processor's cache between reading, casting, hashing and writing; a multiple of every
# item size, so that no number is torn.
CHUNK_BYTES = 4 * 1024 * 1024


class ByteRun:
    """The bytes of `stretches` (offset and length, in bytes) of a file, as if they stood together.

    What `read` and `chunks` give is valid until the next read. Raises InvalidInputError when the file is shorter or
    cannot be read; `label` names the tensor in it.
    """

    def __init__(self, file: Path, stretches: Sequence[Tuple[int, int]], label: str) -> None:
        self._file = file
        self._label = label
        self._left: List[Tuple[int, int]] = [stretch for stretch in stretches if stretch[1]]
        self._buffer = memoryview(bytearray(min(CHUNK_BYTES, sum(length for _, length in stretches))))
        try:
            self._stream = file.open("rb", buffering=0)
        except OSError as error:
            raise not_read(file, error) from error

    def __enter__(self) -> ByteRun:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stream.close()

    def chunks(self) -> Iterator[memoryview]:
        """All the bytes, `CHUNK_BYTES` at a time."""
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def read(self, nbytes: int) -> memoryview:
        """The next `nbytes` (at most `CHUNK_BYTES`); fewer at the end."""
        nbytes = min(nbytes, len(self._buffer))
        filled = 0
        try:
            while self._left and filled < nbytes:
                offset, length = self._left[0]
                self._stream.seek(offset)
                got = self._stream.readinto(self._buffer[filled : min(nbytes, filled + length)])
                if not got:
                    raise InvalidInputError(f"{self._file} ends inside tensor {self._label!r}.", DOWNLOAD_HINT)
                filled += got
                self._left[0] = (offset + got, length - got)
                if got == length:
                    del self._left[0]
        except OSError as error:
            failure = not_read(self._file, error)
            raise InvalidInputError(f"Tensor {self._label!r}: {failure.message}", failure.hint) from error
        return self._buffer[:filled]
