"""A record that cannot be used, said so that a person can find and mend it."""

from __future__ import annotations

from dataclasses import dataclass

from sft_tui.errors import InvalidInputError


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
