"""Talks with a process within bounds of time and bytes, whatever it says."""

from __future__ import annotations

import os
import selectors
import threading
import time
from typing import IO, Final, Optional, Protocol

OUT_AT_MOST: Final = 16 << 20  # bytes of an answer
LAST_WORDS: Final = 1 << 16  # bytes of what it said on stderr that are kept, the last ones
_PIECE: Final = 1 << 16


class Child(Protocol):
    """A process with pipes, as `subprocess.Popen` makes it."""

    stdin: Optional[IO[bytes]]
    stdout: Optional[IO[bytes]]
    stderr: Optional[IO[bytes]]

    def wait(self, timeout: Optional[float] = None) -> int:
        """Its exit code, once it has ended."""


class SaidTooMuchError(Exception):
    """The answer is longer than any answer is."""


def communicate(child: Child, data: bytes, timeout: float, limit: int = OUT_AT_MOST) -> tuple[bytes, bytes]:
    """Send `data`, read to the end: stdout, and the end of stderr. Raises SaidTooMuchError, TimeoutError, OSError."""
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    out, err, rest = bytearray(), bytearray(), memoryview(data)
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for pipe, events in (
            (child.stdin, selectors.EVENT_WRITE), (child.stdout, selectors.EVENT_READ),
            (child.stderr, selectors.EVENT_READ),
        ):  # fmt: skip
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, events)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                if key.fileobj is child.stdin:
                    rest = _send(child.stdin, rest)
                    if not rest:
                        selector.unregister(child.stdin)
                        _close(child.stdin)
                    continue
                piece = os.read(key.fd, _PIECE)
                if not piece:
                    selector.unregister(key.fileobj)
                elif key.fileobj is child.stdout:
                    out += piece
                    if len(out) > limit:
                        raise SaidTooMuchError
                else:
                    err = (err + piece)[-LAST_WORDS:]
    child.wait(max(0.1, deadline - time.monotonic()))
    return bytes(out), bytes(err)


def _send(stdin: IO[bytes], rest: memoryview) -> memoryview:
    try:
        return rest[os.write(stdin.fileno(), rest[:_PIECE]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:  # it has heard enough: what it says tells why
        return rest[:0]


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        return


class LastWords(threading.Thread):
    """Reads what a process says on stderr, as long as it lives, and keeps the end of it."""

    def __init__(self, pipe: Optional[IO[bytes]]) -> None:
        super().__init__(daemon=True, name="stderr of a node")
        assert pipe is not None
        self._pipe, self._said = pipe, b""
        self.start()

    def run(self) -> None:
        """The thread."""
        try:
            while piece := os.read(self._pipe.fileno(), _PIECE):
                self._said = (self._said + piece)[-LAST_WORDS:]
        except (OSError, ValueError):  # closed meanwhile
            return

    def text(self, seconds: float = 0.5) -> str:
        """What it said last; waits so long for its end."""
        self.join(seconds)
        return self._said.decode(errors="replace")
