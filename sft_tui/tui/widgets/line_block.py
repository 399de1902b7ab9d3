"""Lines of which only those are drawn again that changed."""

from __future__ import annotations

from typing import Sequence

from textual.containers import Vertical
from textual.content import Content

from sft_tui.tui.widgets.text_block import TextBlock


class LineBlock(Vertical):
    """A text block for each line: one that changes does not send the others over SSH again."""

    def show(self, lines: Sequence[Content]) -> None:
        """Show these; an empty line takes its room."""
        whole = [line if line.plain else Content(" ") for line in lines]
        blocks = list(self.query_children(TextBlock))
        for block, line in zip(blocks, whole):
            block.show(line)
        if len(whole) > len(blocks):
            self.mount(*(TextBlock(line) for line in whole[len(blocks) :]))
        for block in blocks[len(whole) :]:
            block.show(Content(""))
