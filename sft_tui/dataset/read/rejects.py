"""Stops at the first record that cannot be used, or counts such records, lists them and leaves them out."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Literal, Optional, TextIO, Type

from sft_tui.core.profile_defaults import MAX_REJECTED
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.errors import InvalidInputError
from sft_tui.files.made import check_ours, note_made, remove_made
from sft_tui.files.whole_file import open_whole_file

OnError = Literal["fail", "skip"]
_SHOWN = 3
# Reasons can hold words of the file: no file may fill the memory with them.
_KEPT_REASONS = 50
OTHER_REASONS = "other reasons"


class Rejects:
    """The records left out of one output. Use it around the writing of the output: `with Rejects(...) as rejects`.

    With "skip" each is a line {"path", "number", "field", "reason"} of OUTPUT.rejected.jsonl, which is there whole
    or not at all, and not at all when nothing was left out. It is written also when `check` refuses.
    """

    def __init__(
        self, output: Path, on_error: OnError = "fail", max_share: float = MAX_REJECTED, *, force: bool = False
    ) -> None:
        """`force`: a list that we did not make may be replaced. Raises InvalidInputError for one that may not, and
        unless `max_share` lies between 0 and 1.
        """
        if not 0.0 <= max_share <= 1.0:
            raise InvalidInputError(f"The share of rejected records is {max_share}.", "It lies between 0 and 1: 0.01.")
        self.path = rejects_path(output)
        if on_error == "skip":
            check_ours(self.path, force=force)
        self.count = 0
        self.reasons: Dict[str, int] = {}
        self._on_error = on_error
        self._max_share = max_share
        self._first: List[BadRecord] = []
        self._opened: Optional[AbstractContextManager[TextIO]] = None
        self._stream: Optional[TextIO] = None
        self._too_many = False

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._opened is not None:
            if self._too_many:
                self._opened.__exit__(None, None, None)
            else:
                self._opened.__exit__(kind, error, trace)
            if error is None or self._too_many:
                note_made(self.path)
        elif error is None:
            remove_made(self.path)

    def take(self, bad: BadRecord) -> None:
        """Count and list a record, or raise it as InvalidInputError when the work is to stop at the first."""
        if self._on_error == "fail":
            raise bad.error()
        if self._stream is None:
            self._opened = open_whole_file(self.path)
            self._stream = self._opened.__enter__()
        line = {"path": bad.path, "number": bad.number, "field": bad.field, "reason": bad.reason}
        # Names in the file may be anything, also what UTF-8 cannot hold.
        text = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
        self._stream.write(text + "\n")
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(bad)
        known = bad.reason in self.reasons or len(self.reasons) < _KEPT_REASONS
        reason = bad.reason if known else OTHER_REASONS
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def check(self, total: int) -> None:
        """Raise InvalidInputError if too many of all `total` records, good and bad, were left out, or all of them."""
        if not self.count or (self.count < total and self.count <= self._max_share * total):
            return
        self._too_many = True
        examples = " ".join(f"Record {bad.number}: {bad.reason}" for bad in self._first)
        share = self.count / total
        file = self._first[0].path
        left = "so none is left" if self.count == total else f"more than the allowed {self._max_share:.2%}"
        more = "" if self.count == total else f", or let more go with --max_rejected {_rounded_up(share)}"
        raise InvalidInputError(
            f"{file}: {self.count} of {total} records ({share:.2%}) cannot be used, {left}. {examples}",
            f"All are listed in {self.path}. Mend them{more}.",
        )


def rejects_path(output: Path) -> Path:
    """Where the records left out of `output` are listed."""
    return output.with_name(f"{output.name}.rejected.jsonl")


def _rounded_up(share: float) -> str:
    return f"{min(1.0, (int(share * 100) + 1) / 100):.2f}"
