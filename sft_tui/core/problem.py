"""Describes what is wrong with an input, tied to the field it belongs to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Union

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the profile field, what and where, what to do.

    `field` is a dotted profile field such as `model.hf_dir`; `proposal` a value for it that would do. `exit_code` is 2
    for invalid input and 4 for an environment that does not fit.
    """

    field: str
    message: str
    hint: str = ""
    severity: Severity = "error"
    exit_code: int = 2
    proposal: Union[str, int, float, None] = None

    def to_json(self) -> dict[str, object]:
        """The problem as a JSON object."""
        return asdict(self)
