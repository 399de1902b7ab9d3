"""What all parts of the wizard share: the session, the threads beside it, the screen in use, and how it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from sft_tui.core.terminal_text import neutralise
from sft_tui.paths import styles_dir
from sft_tui.tui.background import Background, Examiner
from sft_tui.tui.gate import Gate
from sft_tui.tui.ordered_keys import OrderedKeys
from sft_tui.tui.profile_saver import ProfileSaver
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import Session, WizardStep

if TYPE_CHECKING:
    from textual.filter import LineFilter


class WizardApp(OrderedKeys, inherit_bindings=False):
    """The parts of the app add to it: editing.py, launching.py, app.py."""

    def __init__(self, name: str) -> None:
        super().__init__([str(path) for path in sorted(styles_dir().glob("*.tcss"))])
        self.animation_level = "none"  # over SSH every animated frame is kilobytes
        self.session = Session(name, {})  # until the first frame is painted
        self._background = Background(self.post_message)
        self._examiner = Examiner(self.post_message)
        self._saver = ProfileSaver(self.post_message)
        self._gate = Gate()
        self._opened = False  # the profile is read
        self._touched = False  # a key of the user moved or changed something

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Every line that any widget draws goes through them."""
        return [*super().get_line_filters(), self._gate]

    @property
    def wizard_screen(self) -> WizardScreen | None:
        """The wizard screen in use, also below a dialog."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, WizardScreen)), None)

    @property
    def _step(self) -> WizardStep | None:
        screen = self.wizard_screen
        return screen.step if screen else None

    def _draw(self) -> None:
        screen = self.wizard_screen
        # below a screen that hides it, a new layout would send that whole screen again
        if screen is not None and screen.is_mounted and (self.screen is screen or self.screen.is_modal):
            screen.draw(self.session)

    def say(self, text: str, *, bad: bool = False) -> None:
        """Tell the user something; the same text is not shown twice at a time."""
        if any(n.message == text for n in self._notifications):
            return
        self.notify(neutralise(text), severity="warning" if bad else "information", timeout=8, markup=False)

    def keys_dropped(self, count: int) -> None:
        """Say what was not taken."""
        keys = "One key" if count == 1 else f"{count} keys"
        self.say(f"{keys} typed meanwhile went nowhere: the one before took too long.", bad=True)
