"""Prepares pieces of tensors on several threads, ahead of who writes them, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Generator, Generic, Iterable, TypeVar

from sft_tui.checkpoint.tensor_values import PIECE_BYTES

WORKERS = 2  # reading, casting and counting let go of Python's lock, so two processors are really used
AHEAD = 4  # pieces in work or waiting: each holds up to two rooms


class Rooms:
    """Memory for one piece, used again and again: as it is read, and as it is cast or compared."""

    def __init__(self) -> None:
        self._read = bytearray(PIECE_BYTES)
        self._other = bytearray()

    def to_read(self, nbytes: int) -> memoryview:
        """Room for a piece as it is in the file."""
        if nbytes > len(self._read):
            self._read = bytearray(nbytes)
        return memoryview(self._read)

    def other(self, nbytes: int) -> memoryview:
        """Room for what is made of it."""
        if nbytes > len(self._other):
            self._other = bytearray(nbytes)
        return memoryview(self._other)


Piece = TypeVar("Piece")
Ready = TypeVar("Ready")


class PieceLine(Generic[Piece, Ready]):
    """Runs `work` over pieces on `WORKERS` threads.

    What iterating gives is in the order of the pieces and valid until the next one is asked for. An exception of `work`
    is raised where its result is due. Closing the iterator waits for what runs, and drops the rest.
    """

    def __init__(self, pieces: Iterable[Piece], work: Callable[[Piece, Rooms], Ready]) -> None:
        self._pieces = iter(pieces)
        self._work = work

    def __iter__(self) -> Generator[Ready, None, None]:
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pieces")
        waiting: Deque[tuple[Future[Ready], Rooms]] = deque()
        try:
            for _ in range(AHEAD):
                self._begin(pool, waiting, Rooms())
            while waiting:
                future, rooms = waiting.popleft()
                yield future.result()
                self._begin(pool, waiting, rooms)
        finally:
            for future, _rooms in waiting:
                future.cancel()
            pool.shutdown()

    def _begin(self, pool: ThreadPoolExecutor, waiting: Deque[tuple[Future[Ready], Rooms]], rooms: Rooms) -> None:
        for piece in self._pieces:
            waiting.append((pool.submit(self._work, piece, rooms), rooms))
            return
