"""Notices keys that a JSON object has twice, of which Python would keep the last without a word."""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

from sft_tui.dataset.read.bad_record import FieldError, show_names


class DoubledKeys(Dict[str, object]):
    """An object of JSON with a key that it has twice, with other values; the last one counts, as in Python."""

    names: Tuple[str, ...] = ()


def build_object(pairs: List[Tuple[str, object]]) -> Dict[str, object]:
    """What JSON's parser makes of an object."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    first: Dict[str, object] = {}
    names: Dict[str, None] = {}
    for name, value in pairs:
        if name in first and first[name] != value:
            names[name] = None
        first.setdefault(name, value)
    if not names:
        return made
    doubled = DoubledKeys(made)
    doubled.names = tuple(names)
    return doubled


def check_doubled(item: Mapping[str, object], where: str = "") -> None:
    """Raise FieldError for an object that has a key twice."""
    if isinstance(item, DoubledKeys):
        place = f"{where} has" if where else "has"
        reason = f"{place} the field {show_names(item.names)} twice, with different values."
        raise FieldError(item.names[0], reason, "Keep one of them.")
