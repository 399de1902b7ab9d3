"""Counts what a file says beside the texts: fields that are not read, and how those that are read were taken."""

from __future__ import annotations

from collections import Counter
from typing import Counter as CounterType
from typing import Dict, FrozenSet, Iterable, List, Literal, Mapping, Tuple

from sft_tui.dataset.read.bad_record import show_names
from sft_tui.errors import InvalidInputError

Kind = Literal["unread", "used", "role", "dropped", "left_out"]
# what is remarked of one record: a kind, and the name of the field or role
Remark = Tuple[Kind, str]
OnUnread = Literal["warn", "fail", "ignore"]
ON_UNREAD: Tuple[OnUnread, ...] = ("warn", "fail", "ignore")
NOT_TRAINED = "turns not to be trained on (weight, train or loss)"
# names come from the file: no file may fill the memory with them
_KEPT_NAMES = 200
_OTHERS = "other fields"
_HINTS = {
    "images": "Only text is trained on.",
    "image": "Only text is trained on.",
    "videos": "Only text is trained on.",
    "audios": "Only text is trained on.",
}
# fields of preference data: all of them have to be there -> what such data is for
_PREFERENCES: Tuple[Tuple[FrozenSet[str], str], ...] = (
    (frozenset({"chosen", "rejected"}), "DPO: a chosen and a rejected answer"),
    (frozenset({"chosen_response", "rejected_response"}), "DPO: a chosen and a rejected answer"),
    (frozenset({"kto_tag"}), "KTO: answers with a label, good or bad"),
    (frozenset({"prompt", "completion", "label"}), "KTO: answers with a label, good or bad"),
    (frozenset({"prompt", "response", "label"}), "KTO: answers with a label, good or bad"),
    (frozenset({"messages", "label"}), "KTO: answers with a label, good or bad"),
    (frozenset({"conversations", "label"}), "KTO: answers with a label, good or bad"),
    (frozenset({"instruction", "output", "label"}), "KTO: answers with a label, good or bad"),
)


_TELLING = frozenset({"rejected", "rejected_response", "kto_tag", "label"})  # without one of these it is none


def find_preference(item: Mapping[str, object], names: Iterable[str] = ()) -> str:
    """What preference data a record is, by its fields (`names`: those that the file has); "" for none.

    A `label` counts where it is true or false, or 1 or 0 beside a completion: others have classes and sources under
    that name.
    """
    if _TELLING.isdisjoint(item) and (item or _TELLING.isdisjoint(names)):
        return ""
    has = set(item) or set(names)
    for fields, kind in _PREFERENCES:
        if fields <= has and ("label" not in fields or _is_verdict(item.get("label"), beside=fields)):
            return kind
    return ""


def _is_verdict(label: object, beside: FrozenSet[str]) -> bool:
    if isinstance(label, bool):
        return True
    told = label.strip().lower() if isinstance(label, str) else label
    return bool(beside & {"completion", "response"}) and told in (0, 1, "0", "1", "true", "false")


def preference_reason(kind: str) -> Tuple[str, str]:
    """Why preference data is not trained on, and what to do."""
    reason = f"is preference data ({kind}), which is for another kind of training."
    hint = "Keep the good answers alone, as `output` (with `instruction`) or as the last turn of `messages`."
    return reason, hint


def holds_nothing(value: object) -> bool:
    """Whether a field that is not read says nothing: null, or empty."""
    return value is None or (isinstance(value, (str, list, dict, tuple)) and not value)


class RemarkCounts:
    """How many records each remark was made of."""

    def __init__(self) -> None:
        self.counts: CounterType[Remark] = Counter()

    def add(self, remarks: Iterable[Remark]) -> None:
        """Count the remarks of one record, each once."""
        if remarks:
            for remark in dict.fromkeys(remarks):
                self._add(remark, 1)

    def merge(self, counts: Mapping[Remark, int]) -> None:
        """Add what was counted elsewhere."""
        for remark, count in counts.items():
            self._add(remark, count)

    def _add(self, remark: Remark, count: int) -> None:
        if remark not in self.counts and len(self.counts) >= _KEPT_NAMES:
            remark = (remark[0], _OTHERS)
        self.counts[remark] += count

    def to_json(self) -> Dict[str, Dict[str, int]]:
        """By kind: the name of a field or role, and the number of records."""
        return remarks_json(self.counts)


def remarks_json(counts: Mapping[Remark, int]) -> Dict[str, Dict[str, int]]:
    """Remarks for JSON: by kind, in the order of their names."""
    kinds: Dict[str, Dict[str, int]] = {}
    for (kind, name), count in sorted(counts.items()):
        kinds.setdefault(kind, {})[name] = count
    return kinds


def remark_lines(remarks: Mapping[str, Mapping[str, int]], *, with_unread: bool = True) -> List[str]:
    """Remarks by kind as sentences, each name once with its count."""
    lines: List[str] = []
    for name, count in remarks.get("unread", {}).items() if with_unread else ():
        lines.append(f"`{name}` is not read: {_records(count)}. {_HINTS.get(name, '')}".rstrip())
    for name, count in remarks.get("dropped", {}).items():
        lines.append(f"{name}: {_records(count)}.")
    for name, count in remarks.get("used", {}).items():
        lines.append(f"{name} taken into account: {_records(count)}.")
    for name, count in remarks.get("role", {}).items():
        lines.append(f"role {name}: {_records(count)}.")
    for name, count in remarks.get("left_out", {}).items():  # of plain text, not by records
        lines.append(f"left out: {count:,} {name}.")
    return lines


def _records(count: int) -> str:
    return f"{count} record" + ("" if count == 1 else "s")


def check_unread(counts: Mapping[Remark, int], on_unread: OnUnread, path: str, number: int = 0) -> None:
    """Raise InvalidInputError when fields are not read and that is an error; `number`: of the record, if known."""
    names = [name for kind, name in counts if kind == "unread"] if on_unread == "fail" else []
    if names:
        where = f"{path}: record {number}" if number else path
        raise InvalidInputError(
            f"{where} has fields that are not read: {show_names(names)}.", "Remove them, or use --on_unread warn."
        )
