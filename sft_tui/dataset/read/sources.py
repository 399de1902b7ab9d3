"""Finds out what a data file holds, and reads it as conversations: the one way in for training data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Literal, Mapping, Optional, Tuple, Union

from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.read.alpaca import ALPACA_FIELDS, AlpacaRecord, parse_alpaca
from sft_tui.dataset.read.bad_record import BadRecord, show_names
from sft_tui.dataset.read.conversation import (
    CONVERSATION_FIELDS,
    TOOLS,
    Conversation,
    build_conversation,
    parse_conversation,
)
from sft_tui.dataset.read.data_file import Container, DataFile, find_data_file
from sft_tui.dataset.read.items import field_names, read_items
from sft_tui.dataset.read.remarks import Remark, find_preference, preference_reason
from sft_tui.dataset.read.tables import column_kinds, full_columns
from sft_tui.errors import InvalidInputError

OUR_FIELDS = (*ALPACA_FIELDS, CONVERSATION_FIELDS[0])
# What data sets on the hub call these fields. Tried only where our own names are missing and none were given.
SYNONYMS: Dict[str, Tuple[str, ...]] = {
    "instruction": ("prompt", "question", "query"),
    "input": ("context",),
    "output": ("response", "answer", "completion", "target"),
}
_LOOKED_AT = 100
_HINT = (
    "Say which is which: --columns instruction=NAME,output=NAME (also input, system, history); "
    "a list of turns is found under `conversations` or `messages`, or with --columns conversations=NAME."
)

Layout = Literal["alpaca", "conversations"]


@dataclass(frozen=True)
class Source:
    """What a file holds. `columns` says under which names it has our fields.

    `guessed`: some of these names are not ours and were not given, only well known. `first` is the first record that
    can be used, None when none of the first hundred can.
    """

    path: Path
    container: Container
    layout: Layout
    columns: Mapping[str, str]
    guessed: bool
    first: Optional[Conversation] = None


@dataclass(frozen=True)
class _Plan:
    """How to read a file: `names` are those that its records have, `optional` what later records may have."""

    file: DataFile
    names: List[str]
    layout: Layout
    columns: Dict[str, str]
    guessed: bool = False
    optional: Dict[str, str] = field(default_factory=dict)


def read_records(
    path: Path, columns: Optional[Mapping[str, str]] = None, progress: ProgressCallback = no_progress
) -> Iterator[Union[Conversation, BadRecord]]:
    """Read a JSON list, JSON Lines, Parquet or CSV file, one conversation for each record, in constant memory.

    `columns` maps our fields (`OUR_FIELDS`) to names in the file. `progress` hears of bytes, of Parquet of rows.
    Raises InvalidInputError for what is wrong with the file as such or with `columns`, at once where the beginning
    shows it; EnvironmentNotFitError for Parquet without pyarrow.
    """
    return map(_as_conversation, parse_records(path, columns, progress))


def parse_records(
    path: Path, columns: Optional[Mapping[str, str]] = None, progress: ProgressCallback = no_progress
) -> Iterator[Union[AlpacaRecord, Conversation, BadRecord]]:
    """As `read_records`, with alpaca records as they are."""
    return _parse(_plan(path, columns or {}), progress)


def inspect_source(path: Path, columns: Optional[Mapping[str, str]] = None) -> Source:
    """Tell what a file holds, from its beginning. Raises as `read_records`, and when there is no record."""
    plan = _plan(path, columns or {})
    first, seen = None, 0
    for entry in _parse(plan, no_progress):
        seen += 1
        if not isinstance(entry, BadRecord):
            first = _as_conversation(entry)
        if first or seen == _LOOKED_AT:
            break
    if not seen:
        raise InvalidInputError(f"{path} holds no record.", "Give a file with at least one record.")
    assert not isinstance(first, BadRecord)
    return Source(path, plan.file.container, plan.layout, plan.columns, plan.guessed, first)


def parse_columns(text: str) -> Dict[str, str]:
    """`instruction=prompt,output=answer` as our fields and the file's names; "" is none. Raises InvalidInputError."""
    columns: Dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name or ours not in OUR_FIELDS or ours in columns:
            raise InvalidInputError(
                f"`{part}` in --columns cannot be understood.",
                f"Such as instruction=prompt,output=answer. Our fields, each at most once: {show_names(OUR_FIELDS)}.",
            )
        columns[ours] = name
    return columns


def _as_conversation(entry: Union[AlpacaRecord, Conversation, BadRecord]) -> Union[Conversation, BadRecord]:
    return build_conversation(entry) if isinstance(entry, AlpacaRecord) else entry


def _parse(plan: _Plan, progress: ProgressCallback) -> Iterator[Union[AlpacaRecord, Conversation, BadRecord]]:
    path = plan.file.path
    columns = {**plan.optional, **plan.columns}
    wanted = list(columns.values())
    if plan.layout == "conversations":
        wanted += [name for name in ("id", "system", TOOLS) if name in plan.names and name not in wanted]
    unread = _unread_columns(plan, wanted)
    for number, item in read_items(path, wanted, progress):
        if plan.layout == "alpaca":
            yield parse_alpaca(path, number, item, columns, unread)
        else:
            yield parse_conversation(path, number, item, columns["conversations"], unread)


def _unread_columns(plan: _Plan, wanted: List[str]) -> Tuple[Remark, ...]:
    """Columns of a Parquet file that nobody asks for, and that hold something."""
    if plan.file.container != "parquet":
        return ()
    kinds = column_kinds(plan.file.path)
    labels = {"bool": True, "int64": 1, "int32": 1, "int8": 1, "uint8": 1, "string": "true"}
    item = {name: labels.get(kind) for name, kind in kinds.items()}
    kind = find_preference(item) if not {"chosen", "rejected"} & set(wanted) else ""
    if kind:
        reason, hint = preference_reason(kind)
        raise InvalidInputError(f"{plan.file.path} {reason}", hint)
    others = [name for name in kinds if name not in wanted and name != "id"]
    return tuple(("unread", name) for name in full_columns(plan.file.path, others))


def _plan(path: Path, given: Mapping[str, str]) -> _Plan:
    """Choose the layout by the names that the records have."""
    file = find_data_file(path)
    names = field_names(file)
    unknown = sorted(set(given) - set(OUR_FIELDS))
    if unknown:
        raise InvalidInputError(f"{show_names(unknown)} is no field of ours.", f"They are {show_names(OUR_FIELDS)}.")
    missing = [name for name in given.values() if name not in names]
    if missing and (names or file.is_table):
        raise InvalidInputError(
            f"{path} has no column {show_names(missing)}; its columns: {show_names(names)}.",
            "Give a name as it stands in the file to --columns.",
        )
    if "conversations" in given:
        return _Plan(file, names, "conversations", {"conversations": given["conversations"]})
    if not given and not {"instruction", "output"} <= set(names):
        for name in CONVERSATION_FIELDS:
            if name in names:
                return _Plan(file, names, "conversations", {"conversations": name})
    return _plan_alpaca(file, names, given)


def _plan_alpaca(file: DataFile, names: List[str], given: Mapping[str, str]) -> _Plan:
    columns = dict(given)
    guessed = False
    may_guess = not given and not {"instruction", "output"} <= set(names)
    for ours in ALPACA_FIELDS:
        taken = columns.values()
        if ours in columns or (ours == "history" and file.container == "csv"):  # a cell is no list
            continue
        if ours in names and ours not in taken:
            columns[ours] = ours
        elif may_guess:
            found = [name for name in SYNONYMS.get(ours, ()) if name in names and name not in taken]
            if len(found) > 1:
                raise InvalidInputError(f"{file.path}: {show_names(found)} could each be the {ours}.", _HINT)
            guessed = guessed or bool(found)
            if found:
                columns[ours] = found[0]
    for ours in ("instruction", "output"):
        if ours not in columns:
            if names or file.is_table:
                kind = find_preference({}, names)
                if kind:
                    reason, hint = preference_reason(kind)
                    raise InvalidInputError(f"{file.path} {reason}", hint)
                raise _no_field(file, ours, names)
            columns[ours] = ours
    # In JSON a field that the first records lack may still come.
    later = {} if file.is_table else {ours: ours for ours in ALPACA_FIELDS if ours not in columns.values()}
    return _Plan(file, names, "alpaca", columns, guessed, later)


def _no_field(file: DataFile, ours: str, names: List[str]) -> InvalidInputError:
    if file.is_table:
        message = f"{file.path} has no column `{ours}`; its columns: {show_names(names)}."
        apart = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), "")
        if apart:
            shown = "tabs" if apart == "\t" else f"`{apart}`"
            return InvalidInputError(message, f"They seem to be separated by {shown}: save the file with commas.")
        return InvalidInputError(message, _HINT)
    return InvalidInputError(f"{file.path}: no record has a field `{ours}`; their fields: {show_names(names)}.", _HINT)
