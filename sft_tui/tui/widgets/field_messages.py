"""What the fields of a form say when the user edits them."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class TextEdited(Message):
    """The user changed a value; `text` is what was typed."""

    section: str
    field: str
    text: str


@dataclass
class ValueEdited(Message):
    """The user changed a value that was not typed as one text."""

    section: str
    field: str
    value: object
