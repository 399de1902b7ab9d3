"""A console of rich on stderr whose texts are harmless; its own control sequences are not touched."""

from __future__ import annotations

import sys
from typing import Iterable

from rich.console import Console
from rich.segment import Segment

from sft_tui.commands._common.output_gate import beside_gate
from sft_tui.core.terminal_text import neutralise


class GatedConsole(Console):
    """Draws bars, and lines above them."""

    def __init__(self, *, highlight: bool = True) -> None:
        super().__init__(file=beside_gate(sys.stderr), highlight=highlight)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            segment if segment.control else Segment(neutralise(segment.text), segment.style) for segment in buffer
        )
