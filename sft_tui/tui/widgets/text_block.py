"""Text that is drawn again only where it changed."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class TextBlock(Static):
    """A Static that knows what it shows: the same text again costs no bytes over SSH."""

    def __init__(self, content: Content | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        self._shown = content or Content("")
        super().__init__(self._shown, id=id, classes=classes)
        self.display = bool(self._shown.plain)

    def show(self, content: Content) -> None:
        """Show this; empty text takes no room."""
        self.display = bool(content.plain)
        if not content.is_same(self._shown):
            self._shown = content
            self.update(content, layout=not self._is_of_fixed_height)

    @property
    def _is_of_fixed_height(self) -> bool:
        """Its place stays as it is, whatever it shows: a new layout would draw the whole screen again."""
        height, width = self.styles.height, self.styles.width
        return height is not None and height.is_cells and (width is None or not width.is_auto)
