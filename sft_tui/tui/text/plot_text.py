"""A plot of one metric as text, drawn by plotext: braille dots, or plain letters where a terminal has nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Optional, Sequence

from textual.content import Content

from sft_tui.metrics.points import METRICS, Curve, Mark, Metric, reduce_columns, series, smooth

LAST_STEPS = (0, 200, 50)  # zoom; 0: all
LEAST_WIDTH, LEAST_HEIGHT = 24, 4
CHECKPOINT_LETTER, EVALUATION_LETTER = "^", "E"
_FRAME = str.maketrans("│─┌┐└┘├┤┬┴┼", "|-+++++++++")
_STYLE = re.compile(r"\x1b\[([0-9;]*)m")
# plotext's colours as it writes them, and what they stand for here
_GREY, _BLUE, _RED, _GREEN, _YELLOW = "gray", "blue", "red", "green", "orange"
_STYLES = {
    "38;5;8": "$text-muted",
    "38;5;4": "bold $accent",
    "38;5;1": "$success",
    "38;5;2": "$success",
    "38;5;3": "$warning",
}


@dataclass(frozen=True)
class PlotChoice:
    """What of a training is drawn, and how."""

    metric: int = 0  # of METRICS
    logarithmic: bool = False
    last: int = 0  # steps; 0: all
    compared: str = ""  # id of the other job
    comparable: bool = True  # where another job can be chosen

    @property
    def chosen(self) -> Metric:
        """The metric."""
        return METRICS[self.metric % len(METRICS)]


@dataclass(frozen=True)
class _Line:
    xs: list[float]
    ys: list[float]
    colour: str
    letter: str
    joined: bool = True


def describe_choice(choice: PlotChoice, curve: Curve, width: int) -> Content:
    """What is drawn, with the keys that change it, and what the marks mean where there is room."""
    metric = choice.chosen
    unit = f" ({metric.unit})" if metric.unit and metric.unit != metric.title else ""
    parts: list[str | tuple[str, str]] = [
        ("m ", "bold"), f"{metric.title}{unit}  ", ("l ", "bold"), "log  " if choice.logarithmic else "linear  ",
        ("z ", "bold"), f"last {choice.last}  " if choice.last else "all  ",
    ]  # fmt: skip
    if choice.comparable:
        parts += [("c ", "bold"), f"with {choice.compared}" if choice.compared else "compare"]
    legend = []
    if _marks(curve, "checkpoint"):
        legend.append((f"  {CHECKPOINT_LETTER} checkpoint", "$success"))
    if metric.key == "loss" and any(mark.loss is not None for mark in _marks(curve, "evaluation")):
        legend.append((f"  {EVALUATION_LETTER} held-out", "$warning"))
    line = Content.assemble(*parts, *legend)
    return line if line.cell_length <= width else Content.assemble(*parts)


def draw_plot(
    curve: Curve, choice: PlotChoice, width: int, height: int, *, compared: Optional[Curve] = None, braille: bool = True
) -> Content:
    """The plot, `width` x `height` cells; a sentence where there is nothing to draw."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Content("")
    lines = _lines(curve, choice, width, compared)
    ys = [y for line in lines for y in line.ys]
    if len(ys) < 2:
        what = "above zero " if choice.logarithmic else ""
        return Content.styled(f"No values of {choice.chosen.title} {what}yet.", "dim")
    text = _draw(lines, choice, width, height, braille=braille)
    return _styled(text if braille else text.translate(_FRAME))


def _lines(curve: Curve, choice: PlotChoice, width: int, compared: Optional[Curve]) -> list[_Line]:
    """Raw values as dots with their mean as a line; the other job's mean; marks at the bottom."""
    points = curve.newest(choice.last)
    steps, values = _shown(*series(points, choice.chosen), choice)
    lines: list[_Line] = []
    smoothed = choice.chosen.key == "loss" and len(values) > 20
    if smoothed:
        lines.append(_Line(*reduce_columns(steps, values, width), _GREY, ".", joined=False))
        values = list(smooth(values))
    lines.append(_Line(*reduce_columns(steps, values, width), _BLUE, "*"))
    if compared is not None and steps:
        theirs = _shown(*series(compared.points, choice.chosen), choice)
        inside = [(x, y) for x, y in zip(*theirs) if not choice.last or steps[0] <= x <= steps[-1]]
        other = list(smooth(y for _, y in inside)) if choice.chosen.key == "loss" else [y for _, y in inside]
        lines.append(_Line(*reduce_columns([x for x, _ in inside], other, width), _RED, "o"))
    return [*lines, *_mark_lines(curve, choice, steps, [y for line in lines for y in line.ys])]


def _mark_lines(curve: Curve, choice: PlotChoice, steps: Sequence[float], ys: Sequence[float]) -> list[_Line]:
    if not steps or not ys:
        return []
    saved = [float(mark.step) for mark in _marks(curve, "checkpoint") if steps[0] <= mark.step <= steps[-1]]
    lines = [_Line(saved, [min(ys)] * len(saved), _GREEN, CHECKPOINT_LETTER, joined=False)] if saved else []
    held_out = [(m.step, m.loss) for m in _marks(curve, "evaluation") if m.loss is not None and math.isfinite(m.loss)]
    inside = [(x, y) for x, y in held_out if not choice.last or steps[0] <= x <= steps[-1]]
    if choice.chosen.key == "loss" and inside:
        xs, losses = _shown([x for x, _ in inside], [y for _, y in inside], choice)
        lines.append(_Line(xs, losses, _YELLOW, EVALUATION_LETTER, joined=False))
    return lines


def _marks(curve: Curve, kind: str) -> list[Mark]:
    return [mark for mark in curve.marks if mark.kind == kind]


def _shown(steps: Sequence[float], values: Sequence[float], choice: PlotChoice) -> tuple[list[float], list[float]]:
    """A logarithm wants what is above zero."""
    pairs = [(x, y) for x, y in zip(steps, values) if not choice.logarithmic or y > 0]
    return [float(x) for x, _ in pairs], [y for _, y in pairs]


def _draw(lines: Sequence[_Line], choice: PlotChoice, width: int, height: int, *, braille: bool) -> str:
    import plotext  # a tenth of a second that only a drawn plot is worth

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    # exponents are drawn, and told as what they stand for
    up, down = (math.log10, lambda y: 10**y) if choice.logarithmic else (float, float)
    for line in lines:
        marker = "braille" if braille and line.letter in ".*o" else line.letter
        draw = plotext.plot if line.joined else plotext.scatter
        if line.xs:
            draw(line.xs, [up(y) for y in line.ys], marker=marker, color=line.colour)
    xs, ys = [x for line in lines for x in line.xs], [up(y) for line in lines for y in line.ys]
    low, high = min(ys), max(ys)
    if low == high:  # a line that does not rise or fall is drawn in the middle
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    plotext.ylim(low, high)
    heights = _ticks(low, high, 3 if height < 10 else 5)
    plotext.yticks(heights, [f"{down(tick):.3g}" for tick in heights])
    places = sorted({round(x) for x in _ticks(min(xs), max(xs), max(2, min(6, width // 16)))})
    plotext.xticks(places, [str(place) for place in places])
    return str(plotext.build())


def _ticks(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * n / (count - 1) for n in range(count)]


def _styled(text: str) -> Content:
    """plotext's colours by what they stand for; nothing else of its escape sequences is kept."""
    parts: list[str | tuple[str, str]] = []
    style = ""
    for index, piece in enumerate(_STYLE.split(text.rstrip("\n"))):
        if index % 2:
            style = _STYLES.get(piece, "")
        elif piece:
            parts.append((piece, style) if style else piece)
    return Content.assemble(*parts)
