"""The rail: every step of the wizard with its key and its state."""

from __future__ import annotations

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from sft_tui.tui.session import WIZARD_STEPS, RailMark, Session

_MARKS: dict[RailMark, tuple[str, str]] = {
    "todo": ("·", "dim"),
    "problem": ("!", "$error"),
    "running": ("~", "$warning"),
    "done": ("✓", "$success"),
}
LEGEND = "· to do  > here  ! problem  ~ running  ✓ done"


class Rail(Widget):
    """Draws the marks that it is told; a mark differs by its shape, not by colour alone."""

    def __init__(self, current: str) -> None:
        super().__init__(id="rail")
        self._current = current
        self._marks: dict[str, RailMark] = {}

    def show_session(self, session: Session) -> None:
        """Take over the marks of a session."""
        marks = {step.id: session.mark(step) for step in WIZARD_STEPS}
        if marks != self._marks:
            self._marks = marks
            self.refresh()

    def render(self) -> RenderResult:
        lines = []
        for step in WIZARD_STEPS:
            sign, colour = _MARKS[self._marks.get(step.id, "todo")]
            here = step.id == self._current
            title = f"{'>' if here else ' '}{step.key.upper()} {step.title}"
            lines.append(Content.assemble((sign, colour), (title, "bold reverse" if here else "")))
        return Content("\n").join(lines)
