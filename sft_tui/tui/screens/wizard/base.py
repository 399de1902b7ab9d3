"""What all wizard screens share: the head line, the rail, the content, the footer."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen

from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.session import Session, wizard_step
from sft_tui.tui.widgets.key_line import KeyLine
from sft_tui.tui.widgets.rail import Rail
from sft_tui.tui.widgets.text_block import TextBlock


class WizardScreen(Screen[None]):
    """One step of the wizard. `draw` is told the session after every change."""

    STEP: ClassVar[str]
    ABOUT: ClassVar[str] = ""
    AUTO_FOCUS = "#content"
    CONTENT_TAKES_FOCUS: ClassVar[bool] = True  # where there is nothing else to scroll with
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal")]  # noqa: RUF012 - no ClassVar in Textual

    def __init__(self, session: Session) -> None:
        # a class that comes after the widgets restyles them all
        super().__init__(classes=" ".join(["wizard", *self._width_classes(self.app.size.width)]))
        self.session = session
        self.step = wizard_step(self.STEP)

    @classmethod
    def _width_classes(cls, width: int) -> list[str]:
        """The one class that Textual gives a screen of this width."""
        return [name for least, name in cls.HORIZONTAL_BREAKPOINTS if width >= least][-1:]

    def compose(self) -> ComposeResult:
        yield TextBlock(id="head")
        with Horizontal(id="body"):
            yield Rail(self.STEP)
            with VerticalScroll(id="content", can_focus=self.CONTENT_TAKES_FOCUS):
                if self.ABOUT:
                    yield TextBlock(Content.styled(self.ABOUT, "dim"), id="about")
                yield from self.compose_content()
        yield KeyLine()

    def compose_content(self) -> ComposeResult:
        """The step's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        self.draw(self.session)

    def on_screen_resume(self) -> None:
        self.draw(self.session)
        self.refresh_bindings()

    def on_screen_suspend(self) -> None:
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Below a dialog no key of this screen works, and its footer offers none."""
        return self.is_active

    def draw(self, session: Session) -> None:
        """Show the session."""
        self.query_one("#head", TextBlock).show(self._head(session))
        self.query_one(Rail).show_session(session)

    def _head(self, session: Session) -> Content:
        """What matters most comes first: the line is cut on a narrow terminal."""
        parts: list[Content | tuple[str, str]] = [(" sft-tui ", "bold reverse"), (f" {self.step.title} ", "bold")]
        if session.rehearsal:
            parts.append((" REHEARSAL: toy model ", "bold black on yellow"))
        state = session.job.state if session.job else None
        if session.job_runs and state:
            step = state.current_step
            parts.append((f" ~ {neutralise(step.title) if step else state.lifecycle}", "$warning"))
        parts.append((f"  profile {neutralise(session.name)}", "dim"))
        if session.gone:
            parts.append(("  deleted elsewhere: ctrl+s saves it anew", "$warning"))
        if session.examining:
            parts.append(("  looking ...", "dim"))
        return Content.assemble(*parts)


class FirstFrame(WizardScreen):
    """The frame alone, while the profile is read and the models for it are imported."""

    STEP = "environment"
