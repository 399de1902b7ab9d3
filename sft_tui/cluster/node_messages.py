"""What a node may say: checked by its form and bounded, so that a bad node costs itself. Pure.

Text is made harmless for a terminal at this door.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Dict, Final, List, Literal, Optional, Tuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
)

from sft_tui.core.job import Time
from sft_tui.core.terminal_text import neutralise

LONGEST_MESSAGE: Final = 4 << 20  # bytes of a line
LONGEST_TEXT: Final = 5000  # characters
MOST_LINES: Final = 1000
_CUT = " ..."


def _cut_text(value: object) -> object:
    """What is only shown is worth its beginning, and no lone half of a character stands in its way."""
    if not isinstance(value, str):
        return value
    text = value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - len(_CUT)] + _CUT
    return text.encode("utf-8", "replace").decode("utf-8")


def _cut_lines(value: object) -> object:
    return value[-MOST_LINES:] if isinstance(value, list) else value


_Text = Annotated[str, StringConstraints(strict=True, max_length=LONGEST_TEXT), AfterValidator(neutralise)]
_Shown = Annotated[_Text, BeforeValidator(_cut_text)]  # for people; a path or a version that is cut would be another
_Count = Annotated[int, Field(strict=True, ge=0, le=10**18)]
_Rank = Annotated[int, Field(strict=True, ge=-1, le=10**6)]
_Log = Annotated[str, StringConstraints(strict=True, max_length=LONGEST_MESSAGE)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)


class _OtherSftTui(_Said):
    command: Annotated[List[_Text], Field(max_length=20)] = []
    package_dir: _Text = ""
    version: _Text
    checksum: _Text


class _Facts(_Said):
    """The answer of `node_facts`."""

    hostname: _Text = ""
    machine: _Text
    python_missing: StrictBool
    python_version: _Text
    packages: Annotated[Dict[_Text, _Text], Field(max_length=100)]
    cann: _Text
    sft_tui: Optional[_OtherSftTui]
    mindformers: _Text
    files: Annotated[Dict[str, Optional[Tuple[_Count, _Text]]], Field(max_length=10_000)]
    marker: _Text
    disk_free: _Count
    cores: _Count
    npus: _Count
    npu_users: Annotated[List[_Shown], Field(max_length=10_000)]
    port: _Shown
    time: Time


class _Log_(_Said):
    log: _Log
    offset: _Count


class _Ranks(_Said):
    ranks: Annotated[List[_Rank], Field(max_length=4096)]


class _Died(_Said):
    died: _Shown
    rank: _Rank
    signal: _Text
    time: Time


class _Tail(_Said):
    tail: Annotated[List[_Shown], BeforeValidator(_cut_lines)]


class _State(_Said):
    state: Literal["queued", "running", "stopping", "finished"]
    outcome: Literal["", "succeeded", "failed", "stopped", "lost"]
    reason: _Shown
    time: Time


class _Submitted(_Said):
    folder: Annotated[_Text, StringConstraints(pattern=r"^/")]


_MESSAGES: Final[Dict[str, type[_Said]]] = {
    "log": _Log_, "ranks": _Ranks, "died": _Died, "tail": _Tail, "state": _State,
}  # fmt: skip


def read_facts(out: str) -> Dict[str, Any]:
    """The facts in the last line of what a node said. Raises ValueError that says what does not fit."""
    return _read(_Facts, out).model_dump()


def read_folder(out: str) -> str:
    """The job's folder in the answer to `submit`. Raises ValueError."""
    found = _read(_Submitted, out)
    assert isinstance(found, _Submitted)
    return found.folder


def read_message(line: bytes) -> Optional[Dict[str, Any]]:
    """A message of a node that watches its part; None for what is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):  # a login file that prints, or a line that a lost connection has torn
        return None
    if not isinstance(data, dict):
        return None
    kind = next((model for name, model in _MESSAGES.items() if name in data), None)
    if kind is None:
        return {"beat": True}  # a sign of life
    try:
        return kind.model_validate(data).model_dump()
    except ValidationError:
        return None


def _read(kind: type[_Said], out: str) -> _Said:
    lines = out.strip().splitlines()
    if not lines:
        raise ValueError("it said nothing")
    try:
        return kind.model_validate(json.loads(lines[-1]))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        raise ValueError(f"{where}: {first['msg']}"[:200]) from None
    except (ValueError, RecursionError):
        raise ValueError(f"it said {neutralise(lines[-1][:80])!r}") from None
