"""The gate before stdout and stderr: nothing that a command prints can act on the terminal.

What is drawn on purpose (a line over itself, a bar) goes beside it, and neutralises its texts itself.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Iterator, TextIO, cast

from sft_tui.core.terminal_text import neutralise


class _Gate:
    """A text stream that hands on what is harmless; all else is as the stream behind it."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def __getattr__(self, name: str) -> object:
        return getattr(self.behind, name)

    def write(self, text: str) -> int:
        """Write the text without what a terminal would obey."""
        self.behind.write(neutralise(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write them one after the other."""
        for line in lines:
            self.write(line)


def beside_gate(stream: TextIO) -> TextIO:
    """The stream itself, for control sequences of our own."""
    return stream.behind if isinstance(stream, _Gate) else stream


@contextmanager
def gated_output() -> Iterator[None]:
    """Within the block sys.stdout and sys.stderr are behind the gate."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Gate(beside_gate(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
