"""Describes a record that cannot be used, so that a person can find and mend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable

from sft_tui.errors import InvalidInputError

_SHOWN_NAMES = 12
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class BadRecord:
    """Where and why. `number` counts from 1 in the file `path`; `field` is "" when the record as a whole is wrong.

    `reason` is a sentence without file and number, `hint` what to do.
    """

    path: str
    number: int
    field: str
    reason: str
    hint: str

    def error(self) -> InvalidInputError:
        """The same as an error, for who stops at the first."""
        return InvalidInputError(f"{self.path}: record {self.number}: {self.reason}", self.hint)


class FieldError(Exception):
    """What is wrong inside of one record, before anybody knows which record of which file it is."""

    def __init__(self, field: str, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason
        self.hint = hint

    def at(self, path: Path, number: int, hint: str) -> BadRecord:
        """The same with its place; `hint` stands in where there is no closer one."""
        return BadRecord(str(path), number, self.field, self.reason, self.hint or hint)


def text_of(item: Dict[str, object], name: str) -> str:
    """The text that `item` has under `name`. Raises FieldError for none, and as `as_text`."""
    if name not in item:
        raise FieldError(name, f"has no field `{shorten(name)}`; its fields: {show_names(item)}.")
    return as_text(item[name], name)


def as_text(value: object, shown: str) -> str:
    """`value` as the text that it is. Raises FieldError for another kind, and for half a character.

    `shown` is how messages call the field.
    """
    if not isinstance(value, str):
        raise FieldError(shown, f"field `{shorten(shown)}` is {json_kind(value)}, not a string.")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(value[error.start]):04x}"
            raise FieldError(
                shown,
                f"field `{shorten(shown)}` has half a character ({half} alone), which no file can hold.",
                "It was cut in the middle of a character, such as an emoji. Mend or remove the record.",
            ) from error
    return value


def optional_text(item: Dict[str, object], name: str) -> str:
    """As `text_of`; a field that is missing or null is ""."""
    return "" if item.get(name) is None else text_of(item, name)


def json_kind(value: object) -> str:
    """What JSON calls a value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a value of the type {type(value).__name__}"


def show_names(names: Iterable[str]) -> str:
    """Names for a message: quoted, and not more or longer than a person reads."""
    listed = list(names)
    shown = [f"`{shorten(name)}`" for name in listed[:_SHOWN_NAMES]]
    if len(listed) > _SHOWN_NAMES:
        shown.append(f"and {len(listed) - _SHOWN_NAMES} more")
    return ", ".join(shown) or "none"


def shorten(text: str) -> str:
    """The beginning of a foreign text, in characters that any file can hold."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")
