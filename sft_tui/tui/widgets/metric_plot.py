"""The plot of a metric with its caption, drawn for the room that it has, and again only where something changed."""

from __future__ import annotations

from typing import Optional

from textual.app import ComposeResult
from textual.containers import Vertical

from sft_tui.metrics.points import Curve
from sft_tui.tui.text.plot_text import PlotChoice, describe_choice, draw_plot
from sft_tui.tui.widgets.text_block import TextBlock


class MetricPlot(Vertical):
    """Its height is the screen's affair; `braille`: the terminal shows more than ASCII."""

    def __init__(self, *, braille: bool, id: str | None = None) -> None:
        super().__init__(id=id)
        self._braille = braille
        self._told: Optional[tuple[Curve, PlotChoice, Optional[Curve]]] = None
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield TextBlock(id="plot-caption")
        yield TextBlock(id="plot-lines")

    def show(self, curve: Curve, choice: PlotChoice, compared: Optional[Curve]) -> None:
        """Draw this from now on."""
        self._told = (curve, choice, compared)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._told is None or not self.size.height or not self.display:
            return
        curve, choice, compared = self._told
        theirs = compared.last if compared is not None else None
        wanted = (id(curve), curve.last, len(curve.marks), choice, theirs, self.size)
        if wanted == self._drawn:
            return
        self._drawn = wanted
        width, height = self.size
        self.query_one("#plot-caption", TextBlock).show(describe_choice(choice, curve, width))
        picture = draw_plot(curve, choice, width, height - 1, compared=compared, braille=self._braille)
        self.query_one("#plot-lines", TextBlock).show(picture)
