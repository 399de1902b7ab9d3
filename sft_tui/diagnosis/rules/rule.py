"""A rule: words in a log line, and what they say about the failure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Optional

CATEGORIES = (
    "oom_device", "oom_host", "hccl_timeout", "hccl_link", "device_fault_ecc", "device_busy", "driver_cann_mismatch",
    "version_mismatch", "config_parallel", "config_other", "shape_mismatch", "checkpoint_load", "dataset_mindrecord",
    "tokenizer", "disk_full", "permission", "port_in_use", "node_not_joined", "worker_killed", "overflow_nan",
    "op_unsupported", "op_compile", "import_error", "network", "aicore_error", "other",
)  # fmt: skip


class Force(IntEnum):
    """How near to the cause a message stands. The smallest of a run is its first cause, whatever came first or loudest.

    CAUSE names what went wrong. DEATH: a process was killed or crashed. LINK: a connection broke, perhaps for the peer
    was gone. SYMPTOM: an operator or a pipeline failed, the reason is elsewhere. GENERIC: an exception that no rule
    knows. WAIT: somebody waited for others in vain. WRAPPER: says only that something has failed.
    """

    CAUSE = 0
    DEATH = 1
    LINK = 2
    SYMPTOM = 3
    GENERIC = 4
    WAIT = 5
    WRAPPER = 6


@dataclass(frozen=True)
class Rule:
    """`word` stands in the line, in lower case; `where`, if given, is found in the lower-cased line too.

    `sure`: the words alone decide the category. `remedy`: a key of failure_remedies; empty: that of the category.
    `warned`: counts in a warning as well, where something failed after all; other rules leave warnings alone, for
    healthy runs are full of them.
    """

    word: str
    category: str
    force: Force = Force.CAUSE
    where: str = ""
    code: str = ""
    sure: bool = True
    remedy: str = ""
    warned: bool = False

    @cached_property
    def _pattern(self) -> Optional[re.Pattern[str]]:
        return re.compile(self.where) if self.where else None

    @cached_property
    def _code(self) -> Optional[re.Pattern[str]]:
        """A code stands alone: the same signs inside a longer number or name mean nothing."""
        code = re.fullmatch(r"[0-9a-f]{6,8}|(?:e[a-z]|e\d|err\d)\d{4}", self.word)
        return re.compile(rf"(?<![0-9a-z])(?:0x)?{self.word}(?![0-9a-z])") if code else None

    def fits(self, lowered: str) -> bool:
        """Whether a line, in lower case, says this."""
        if self.word not in lowered or (self._code is not None and self._code.search(lowered) is None):
            return False
        return self._pattern is None or self._pattern.search(lowered) is not None


def cause(
    word: str, category: str, where: str = "", *, code: str = "", sure: bool = True, remedy: str = "",
    warned: bool = False,
) -> Rule:  # fmt: skip
    """Words that name what went wrong."""
    return Rule(word, category, Force.CAUSE, where, code, sure, remedy, warned)


def seen(
    force: Force, word: str, category: str, where: str = "", *, code: str = "", sure: bool = False, remedy: str = "",
    warned: bool = False,
) -> Rule:  # fmt: skip
    """Words that stand at some distance from the cause; as a rule not enough to be sure."""
    return Rule(word, category, force, where, code, sure, remedy, warned)
