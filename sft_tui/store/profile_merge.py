"""Brings together what two have changed in one profile, field by field. Pure: no file is looked at."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Dict, Tuple

_NOT_MERGED = ("name", "schema_version")  # the file's own, whoever writes it
_Place = Tuple[str, ...]  # section and field, or a key outside of any section


class _Absent:
    """A field that a file does not have."""


ABSENT = _Absent()


@dataclass(frozen=True)
class FieldChange:
    """One field: its place, the value here, and the one that was found in the file; either may be ABSENT."""

    place: _Place
    mine: Any
    theirs: Any

    @property
    def field(self) -> str:
        """Its dotted name."""
        return ".".join(self.place)


@dataclass(frozen=True)
class Merge:
    """The profile with all changes; what was taken over; and what both had changed, where mine has won."""

    data: dict[str, Any]
    taken: tuple[FieldChange, ...] = ()
    clashes: tuple[FieldChange, ...] = ()


def merge_profiles(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> Merge:
    """The changes from `base` to `mine` and from `base` to `theirs`, together; a list of nodes is one field."""
    # a key that is a table in one and a value in another is one field
    whole = {key for data in (base, mine, theirs) for key, value in data.items() if not isinstance(value, dict)}
    old, own, other = (_fields(data, whole) for data in (base, mine, theirs))
    merged: Dict[_Place, Any] = {}
    taken, clashes = [], []
    for place in dict.fromkeys((*own, *other)):
        was, here, there = (fields.get(place, ABSENT) for fields in (old, own, other))
        if same_value(there, was) or same_value(there, here):
            merged[place] = here
            continue
        change = FieldChange(place, here, there)
        if same_value(here, was):
            merged[place] = there
            taken.append(change)
        else:
            merged[place] = here
            clashes.append(change)
    # a table that one of both has removed does not come back empty
    tables = [key for key in {**mine, **theirs} if key not in base or (key in mine and key in theirs)]
    data: dict[str, Any] = {key: mine[key] for key in _NOT_MERGED if key in mine}
    data.update({key: {} for key in tables if key not in whole})
    return Merge(_fill(data, merged), tuple(taken), tuple(clashes))


def same_value(one: object, other: object) -> bool:
    """Equal and of one type: `true` is not 1, but a tuple is as good as a list."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def _fields(data: dict[str, Any], whole: set[str]) -> dict[_Place, Any]:
    fields: Dict[_Place, Any] = {}
    for key, value in data.items():
        if key in _NOT_MERGED:
            continue
        if isinstance(value, dict) and key not in whole:
            fields.update({(key, name): item for name, item in value.items()})
        else:
            fields[key,] = value
    return fields


def _fill(data: dict[str, Any], fields: dict[_Place, Any]) -> dict[str, Any]:
    for place, value in fields.items():
        if value is ABSENT:
            continue
        table = data
        for key in place[:-1]:
            table = table.setdefault(key, {})
        table[place[-1]] = deepcopy(value)
    return data
