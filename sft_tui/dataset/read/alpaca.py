"""Reads the alpaca layout: instruction, input, output; and LLaMA-Factory's system text and history."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Tuple, Union

from sft_tui.dataset.read.bad_record import (
    BadRecord,
    FieldError,
    as_text,
    json_kind,
    optional_text,
    shorten,
    text_of,
)
from sft_tui.dataset.read.doubled import check_doubled
from sft_tui.dataset.read.remarks import Remark, find_preference, holds_nothing, preference_reason

ALPACA_FIELDS = ("instruction", "input", "output", "system", "history")
# names of an answer that preference data has as well: another name was given by somebody who knows
_ANSWERS = ("completion", "response")
HINT = (
    'Each record looks like {"instruction": "...", "input": "...", "output": "..."}; `input` may be missing. '
    "Other names are given with --columns instruction=NAME,output=NAME."
)


@dataclass(frozen=True)
class AlpacaRecord:
    """One record in the format of Stanford Alpaca. `number` counts from 1 in its file; no input is "".

    `history` are questions and answers that came before; `remarks` what the record says beside that.
    """

    number: int
    instruction: str
    input: str
    output: str
    system: str = ""
    history: Tuple[Tuple[str, str], ...] = ()
    remarks: Tuple[Remark, ...] = ()


def parse_alpaca(
    path: Path, number: int, item: object, columns: Mapping[str, str], unread: Tuple[Remark, ...] = ()
) -> Union[AlpacaRecord, BadRecord]:
    """Check one record. `columns` says under which names the file has our fields; one that is not in it is not read.

    `unread`: what is known of all records of the file that is not in `item`. An input, system text or history that
    is null counts as none. A record that cannot be used is a BadRecord.
    """
    if isinstance(item, BadRecord):
        return item
    try:
        if not isinstance(item, dict):
            raise FieldError("", f"is {json_kind(item)}, not an object.")
        return _parse(number, item, columns, unread)
    except FieldError as error:
        return error.at(path, number, HINT)


@lru_cache(maxsize=8)
def _read_names(columns: Tuple[str, ...]) -> FrozenSet[str]:
    """The fields of a record that are read, or need not be."""
    return frozenset((*columns, "id"))


def _parse(
    number: int, item: Dict[str, object], columns: Mapping[str, str], unread: Tuple[Remark, ...]
) -> AlpacaRecord:
    check_doubled(item)
    kind = find_preference(item) if columns["output"] in ("output", *_ANSWERS) else ""
    if kind:
        raise FieldError("", *preference_reason(kind))
    if "conversations" in item and columns["output"] not in item:
        raise FieldError(
            columns["output"],
            "has `conversations`: it looks like ShareGPT or an already converted file, unlike those before.",
            "All records of a file must have one layout.",
        )
    instruction = text_of(item, columns["instruction"])
    output = text_of(item, columns["output"])
    if not instruction.strip():
        name = columns["instruction"]
        raise FieldError(name, f"field `{name}` is empty.", "Fill it in or remove the record.")
    given = optional_text(item, columns["input"]) if "input" in columns else ""
    system = optional_text(item, columns["system"]) if "system" in columns else ""
    history = _history(item, columns["history"]) if "history" in columns else ()
    read = _read_names(tuple(columns.values()))
    if not read.issuperset(item):
        said = ((name, value) for name, value in item.items() if name not in read)
        unread += tuple(("unread", shorten(name)) for name, value in said if not holds_nothing(value))
    return AlpacaRecord(number, instruction, given, output, system, history, unread)


def _history(item: Dict[str, object], name: str) -> Tuple[Tuple[str, str], ...]:
    value = item.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise FieldError(name, f"field `{name}` is {json_kind(value)}, not a list of [question, answer].")
    pairs: List[Tuple[str, str]] = []
    for index, pair in enumerate(value):
        where = f"{name}[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise FieldError(name, f"`{where}` is {json_kind(pair)}, not a pair [question, answer].")
        question, answer = (as_text(part, where) for part in pair)
        pairs.append((question, answer))
    return tuple(pairs)
