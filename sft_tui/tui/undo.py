"""What the fields held before they were edited."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Optional

MOST = 200  # edits that can be taken back


@dataclass(frozen=True)
class Edit:
    """A field before somebody edited it."""

    section: str
    field: str
    before: Any


@dataclass
class UndoList:
    """The edits so far; what is typed into one field without leaving it is one edit."""

    _edits: list[Edit] = field(default_factory=list)
    _open: bool = False  # the newest edit still goes on

    def note(self, section: str, name: str, before: object) -> None:
        """A field is about to change."""
        newest = self._edits[-1] if self._edits else None
        if self._open and newest is not None and (newest.section, newest.field) == (section, name):
            return
        self._edits = [*self._edits, Edit(section, name, deepcopy(before))][-MOST:]
        self._open = True

    def close(self) -> None:
        """The focus has left the field: what comes now is another edit."""
        self._open = False

    def take_back(self) -> Optional[Edit]:
        """The newest edit, which is then forgotten; None: there is none."""
        self._open = False
        return self._edits.pop() if self._edits else None
