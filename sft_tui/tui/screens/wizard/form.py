"""The form of one profile section: its fields, and what was found for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from sft_tui.core.profile import PATH_FIELDS, section_model
from sft_tui.core.terminal_text import neutralise
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.form_field import FormField
from sft_tui.tui.widgets.text_block import TextBlock


class FormScreen(WizardScreen):
    """A screen with the fields of one profile section."""

    AUTO_FOCUS = ".form-value"
    CONTENT_TAKES_FOCUS = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "browse", "Browse")]

    def compose_content(self) -> ComposeResult:
        yield from self.compose_above()
        values = self.session.data.get(self.step.section, {})
        for name, info in section_model(self.step.section).model_fields.items():
            yield FormField(self.step.section, name, info, values.get(name, info.default))
        yield from self.compose_below()
        yield TextBlock(id="found")

    def compose_above(self) -> ComposeResult:
        """Widgets above the fields."""
        yield from ()

    def compose_below(self) -> ComposeResult:
        """Widgets below the fields."""
        yield from ()

    def draw(self, session: Session) -> None:
        super().draw(session)
        pointless = self.pointless_fields(session)
        for field in self.query(FormField):
            problem = session.problem_of(field.dotted)
            field.show_problem(problem)
            field.display = field.field not in pointless or problem is not None or field.has_focus_within
        text = "\n".join(map(neutralise, self._found(session)))
        # dim: it tells of the values before the last edit
        self.query_one("#found", TextBlock).show(Content.styled(text, "dim" if session.edited else ""))

    def _found(self, session: Session) -> list[str]:
        if session.findings is None or session.readable is None:
            return ["looking ..." if session.examining else "Nothing was looked at yet: see Review & launch (F7)."]
        return self.found_lines(session)

    def pointless_fields(self, session: Session) -> frozenset[str]:
        """Fields that mean nothing with the other choices made: they are not shown, and keep their values."""
        return frozenset()

    def found_lines(self, session: Session) -> list[str]:
        """What was found, for people; only asked once there are findings."""
        return []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Browse only where a path is wanted."""
        if action == "browse":
            field = self._focused_field()
            return self.is_active and field is not None and field.dotted in PATH_FIELDS
        return super().check_action(action, parameters)

    def on_descendant_focus(self) -> None:
        self.session.undo.close()
        self.refresh_bindings()

    def _focused_field(self) -> FormField | None:
        for node in self.focused.ancestors_with_self if self.focused else ():
            if isinstance(node, FormField):
                return node
        return None

    async def action_browse(self) -> None:
        """Choose the path of the focused field."""
        from sft_tui.tui.screens.dialogs.path_picker import PathPicker

        field = self._focused_field()
        if field is None:
            return
        start = await asyncio.to_thread(_nearest_folder, str(field.value))

        def take(path: str | None) -> None:
            if path:
                field.set_value(path)

        self.app.push_screen(PathPicker(start, kind=PATH_FIELDS[field.dotted], title=field.label), take)


def _nearest_folder(text: str) -> Path:
    path = Path(text or "~").expanduser().absolute()
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path
