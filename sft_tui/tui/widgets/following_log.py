"""A log panel that stays at its end until a person scrolls up."""

from __future__ import annotations

from textual.events import MouseScrollUp
from textual.widgets import Log


class FollowingLog(Log):
    """`Log` decides by where it stands whether to follow, and stops once its height changes: this one remembers."""

    following = True

    def add_lines(self, lines: list[str]) -> None:
        """Append lines; the newest is in view if nobody scrolled up."""
        self.write_lines(lines, scroll_end=False)
        if self.following:
            # at once: scrolled after the next refresh, every line would go to the terminal twice
            self.scroll_end(animate=False, immediate=True, x_axis=False)

    def on_resize(self) -> None:
        self._keep_up()

    def _keep_up(self) -> None:
        if self.following:
            self.call_after_refresh(self.scroll_end, animate=False, x_axis=False)

    def on_mouse_scroll_up(self, _event: MouseScrollUp) -> None:
        self.following = False

    def action_scroll_up(self) -> None:
        self.following = False
        super().action_scroll_up()

    def action_page_up(self) -> None:
        self.following = False
        super().action_page_up()

    def action_scroll_home(self) -> None:
        self.following = False
        super().action_scroll_home()

    def action_scroll_end(self) -> None:
        self.following = True
        self._keep_up()
