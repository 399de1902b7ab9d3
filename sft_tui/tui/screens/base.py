"""What all wizard screens share: the head line, the rail, the footer; and the form of one profile section."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from sft_tui.core.profile import PATH_FIELDS, section_model
from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.session import Session, wizard_step
from sft_tui.tui.widgets.form_field import FormField
from sft_tui.tui.widgets.path_picker import PathPicker
from sft_tui.tui.widgets.rail import Rail


class WizardScreen(Screen[None]):
    """One step of the wizard. `draw` is told the session after every change."""

    STEP: ClassVar[str]
    ABOUT: ClassVar[str] = ""
    AUTO_FOCUS = "#content"

    def __init__(self, session: Session) -> None:
        super().__init__(classes="wizard")
        self.session = session
        self.step = wizard_step(self.STEP)

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="body"):
            yield Rail(self.STEP)
            with VerticalScroll(id="content"):
                yield Static(Content.styled(self.ABOUT, "dim"), id="about")
                yield from self.compose_content()
        yield Footer(compact=True)

    def compose_content(self) -> ComposeResult:
        """The step's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        self.draw(self.session)

    def on_screen_resume(self) -> None:
        self.draw(self.session)

    def draw(self, session: Session) -> None:
        """Show the session."""
        self.query_one("#head", Static).update(self._head(session))
        self.query_one(Rail).show_session(session)

    def _head(self, session: Session) -> Content:
        parts: list[Content | tuple[str, str]] = [
            (" sft-tui ", "bold reverse"),
            (f" {self.step.title}  ", "bold"),
            (f"profile {session.name}  ", "dim"),
        ]
        if session.rehearsal:
            parts.append((" REHEARSAL: toy model ", "bold black on yellow"))
        if session.job_runs and session.job_state:
            step = session.job_state.current_step
            parts.append((f"  job {session.job_state.lifecycle}: {step.title if step else '...'}", "$warning"))
        elif session.examining:
            parts.append(("  looking ...", "dim"))
        return Content.assemble(*parts)


class FormScreen(WizardScreen):
    """A screen with the fields of one profile section, and what was found for them."""

    AUTO_FOCUS = ".form-value"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "browse", "Browse")]

    def compose_content(self) -> ComposeResult:
        yield from self.compose_above()
        values = self.session.data.get(self.step.section, {})
        for name, info in section_model(self.step.section).model_fields.items():
            yield FormField(self.step.section, name, info, values.get(name, info.default))
        yield Static(id="found")

    def compose_above(self) -> ComposeResult:
        """Widgets above the fields."""
        yield from ()

    def draw(self, session: Session) -> None:
        super().draw(session)
        for field in self.query(FormField):
            field.show_problem(session.problem_of(field.dotted))
        self.query_one("#found", Static).update(Content("\n".join(map(neutralise, self._found(session)))))

    def _found(self, session: Session) -> list[str]:
        if session.profile is None:
            return ["Some fields cannot be read yet; then sft-tui looks at the files."]
        if session.findings is None:
            return ["looking ..."]
        return self.found_lines(session)

    def found_lines(self, session: Session) -> list[str]:
        """What was found, for people; only asked once there are findings."""
        return []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Browse only where a path is wanted."""
        if action == "browse":
            field = self._focused_field()
            return field is not None and field.dotted in PATH_FIELDS
        return True

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def _focused_field(self) -> FormField | None:
        for node in self.focused.ancestors_with_self if self.focused else ():
            if isinstance(node, FormField):
                return node
        return None

    def action_browse(self) -> None:
        """Choose the path of the focused field."""
        field = self._focused_field()
        if field is None:
            return
        kind = PATH_FIELDS[field.dotted]
        start = Path(str(field.value) or "~").expanduser()
        while not start.is_dir():
            start = start.parent

        def take(path: str | None) -> None:
            if path:
                field.set_value(path)

        self.app.push_screen(PathPicker(start, kind=kind, title=field.dotted), take)
