"""Works on pieces of tensors on several threads, and gives the results in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Callable, Deque, Generator, Generic, Iterable, TypeVar

from sft_tui.checkpoint.copy.precision import Workspace

# Reading, casting, comparing and writing let go of Python's lock, so several processors are really used. Each thread
# takes a piece all the way, from file to file, while it is in its processor's cache. On two processors a third thread
# fills the gaps in which another waits for the disk: a tenth less time.
WORKERS = 3
AHEAD = 2 * WORKERS  # pieces in work or waiting


class Rooms:
    """Memory for one thread, used again and again: as it is read, and as it is cast or compared."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._other = bytearray()
        self.workspace = Workspace()

    def to_read(self, nbytes: int) -> memoryview:
        """Room for what is in the file."""
        if nbytes > len(self._read):
            self._read = bytearray(nbytes)
        return memoryview(self._read)

    def other(self, nbytes: int) -> memoryview:
        """Room for what is made of it."""
        if nbytes > len(self._other):
            self._other = bytearray(nbytes)
        return memoryview(self._other)


Piece = TypeVar("Piece")
Done = TypeVar("Done")


class PieceLine(Generic[Piece, Done]):
    """Runs `work` over pieces on `WORKERS` threads.

    What iterating gives is in the order of the pieces. An exception of `work` is raised where its result is due.
    Closing the iterator waits for what runs, and drops the rest.
    """

    def __init__(self, pieces: Iterable[Piece], work: Callable[[Piece, Rooms], Done]) -> None:
        self._pieces = iter(pieces)
        self._work = work
        self._rooms: SimpleQueue[Rooms] = SimpleQueue()

    def __iter__(self) -> Generator[Done, None, None]:
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pieces")
        waiting: Deque[Future[Done]] = deque()
        for _ in range(WORKERS):
            self._rooms.put(Rooms())
        try:
            for piece in self._pieces:
                waiting.append(pool.submit(self._run, piece))
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            pool.shutdown()

    def _run(self, piece: Piece) -> Done:
        rooms = self._rooms.get()
        try:
            return self._work(piece, rooms)
        finally:
            self._rooms.put(rooms)
