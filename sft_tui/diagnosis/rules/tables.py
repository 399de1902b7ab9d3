"""All rules in the order in which they are tried, and which lines are worth trying them on."""

from __future__ import annotations

import re
from typing import Optional

from sft_tui.diagnosis.rules import hccl, mindspore, runtime, system, training
from sft_tui.diagnosis.rules.rule import Rule

# within one force the special stands before the general: codes, the machine, the framework, the script
ALL_RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*hccl.RULES, *runtime.RULES, *system.RULES, *mindspore.RULES, *training.RULES),
        key=lambda rule: rule.force,
    )
)

# a line that speaks of a failure has a word with one of these in it, or one of the words below; a rule counts only there
_STEMS: tuple[bytes, ...] = (
    b"err", b"fail", b"exception", b"critical", b"kill", b"timeout", b"timed", b"denied", b"refused", b"unsupported",
    b"invalid", b"cannot", b"can't", b"unable", b"fatal", b"abort", b"signal", b"sigterm", b"mismatch", b"must",
    b"should", b"divisible", b"exceed", b"inconsistent", b"illegal", b"incompatib", b"insufficient", b"corrupt", b"exit",
    b"died", b"segfault", b"segmentation", b"panic", b"lost", b"stuck", b"abnormal", b"overflow", b"evicted", b"preempt",
    b"unreachable", b"reset", b"broken", b"busy", b"cqe", b"exhaust", b"oom", b"alloc", b"lockup", b"undefined",
    b"doesn't", b"couldn't", b"quota", b"isolate", b"truncated", b"rankinfo", b"fault", b"occupy", b"superdevice",
    b"terminated", b"unexpected", b"missing", b"interrupt", b"disconnect", b"closed", b"traceback", b"duplicate",
)  # fmt: skip
_WHOLE_WORDS = frozenset((
    b"out", b"not", b"no", b"ecc", b"nan", b"stale", b"full", b"limit", b"already", b"different", b"dumped",
    b"dropping", b"join", b"uce",
))  # fmt: skip
# codes of CANN, without a word of failure near them at times
_CODES = re.compile(rb"(?<![0-9a-z])e[0-9a-z]\d{4}(?![0-9a-z])")
_LETTERS = bytes(i if chr(i).isascii() and (chr(i).isalpha() or chr(i) == "'") else 32 for i in range(256))
_MAX_WORDS = 200_000


class Sieve:
    """Tells lines that are worth a look from others, quickly, for it is asked of nearly every line.

    The words of a log are few, whatever numbers stand between them: each is looked at once.
    """

    def __init__(self) -> None:
        self._harmless: set[bytes] = set()

    def holds(self, line: bytes) -> bool:
        """The line may speak of a failure."""
        lowered = line.lower()
        for word in set(lowered.translate(_LETTERS).split()) - self._harmless:
            if word in _WHOLE_WORDS or any(stem in word for stem in _STEMS):
                return True
            if len(self._harmless) < _MAX_WORDS:
                self._harmless.add(word)
        return _CODES.search(lowered) is not None


def find_rule(lowered: str, *, warning: bool = False) -> Optional[Rule]:
    """The nearest to the cause of the rules that a line, in lower case, fits; in a warning those that count there."""
    for rule in ALL_RULES:
        if (rule.warned or not warning) and rule.fits(lowered):
            return rule
    return None
