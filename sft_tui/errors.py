"""The errors that reach a user: what happened, and what to do about it."""

from __future__ import annotations


class SftError(Exception):
    """Something went wrong that a user can read about. `message` says what and where, `hint` what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInputError(SftError):
    """Bad usage, or a file, row, tensor or field that cannot be used as it is."""

    exit_code = 2


class StoppedError(SftError):
    """The user stopped it."""

    exit_code = 3


class EnvironmentNotFitError(SftError):
    """The machine or the installed software cannot do what was asked."""

    exit_code = 4
