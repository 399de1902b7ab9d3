"""The gate before the terminal: whatever a widget draws, it can neither move the cursor nor turn the text round.

Widgets neutralise what they show, so that it reads well; this holds also for what one has forgotten, and for text
fields, which show a value as it is.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from sft_tui.core.terminal_text import replace_controls


class Gate(LineFilter):
    """Goes over every line of every widget."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments without control characters and links, as wide as before."""
        return [_harmless(segment) for segment in segments]


@lru_cache(maxsize=4096)
def _harmless(segment: Segment) -> Segment:
    text, style, _ = segment
    if style is not None and style.link:
        style = style.update_link(None)
    # control codes of rich have no place within a line
    return Segment(replace_controls(text, lambda character: " " * cell_len(character)), style)
