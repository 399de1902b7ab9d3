"""The last line of a screen: which keys do something here."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

_KEY = "key"  # in the meta of a style: the key that a click there presses


class KeyLine(Widget):
    """Keys and what they do, in one widget: Textual's footer makes one for each key, again at every change of focus."""

    ALLOW_SELECT = False
    DEFAULT_CSS: ClassVar[str] = """
    KeyLine {
        dock: bottom;
        height: 1;
        text-wrap: nowrap;
        color: $footer-foreground;
        background: $footer-background;
        pointer: pointer;
    }
    """

    _shown = Content("")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self.bindings_changed)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Show the keys of the focus as it is now."""
        if screen is not self.screen or not screen.app.app_focus:
            return
        shown = self._describe_keys()
        if not shown.is_same(self._shown):
            self._shown = shown
            self.refresh()

    def _describe_keys(self) -> Content:
        parts: list[Content | tuple[str, Style]] = []
        actions: set[str] = set()
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if not binding.show or binding.action in actions:  # of two keys for one action the first
                continue
            actions.add(binding.action)
            click = Style.from_meta({_KEY: binding.key})
            dim = "" if enabled else " dim"
            key = f"bold $footer-key-foreground on $footer-key-background{dim}"
            words = f"$footer-description-foreground on $footer-description-background{dim}"
            parts += [
                Content.styled(self.app.get_key_display(binding), key).stylize(click),
                Content.styled(f" {binding.description}", words).stylize(click),
                Content(" "),
            ]
        return Content.assemble(*parts)

    def render(self) -> Content:
        return self._shown

    def on_mouse_down(self, event: events.MouseDown) -> None:
        key = event.style.meta.get(_KEY)
        if isinstance(key, str):
            self.app.simulate_key(key)
