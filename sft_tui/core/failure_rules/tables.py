"""All rules in the order in which they are tried, and which lines are worth trying them on."""

from __future__ import annotations

import re
from typing import Optional

from sft_tui.core.failure_rules import hccl, mindspore, runtime, system, training
from sft_tui.core.failure_rules.rule import Rule

# within one force the special stands before the general: codes, the machine, the framework, the script
ALL_RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*hccl.RULES, *runtime.RULES, *system.RULES, *mindspore.RULES, *training.RULES),
        key=lambda rule: rule.force,
    )
)

# a line that speaks of a failure has one of these, in lower case: what is looked for in every line, so few and short.
# A rule whose word has none of them counts only in lines that have one elsewhere.
STEMS: tuple[bytes, ...] = (
    b"err", b"fail", b"exception", b"critical", b"kill", b"timeout", b" out", b"denied", b"refused", b"not ", b"no ",
    b"unsupported", b"invalid", b"cannot", b"can't", b"unable", b"fatal", b"abort", b"sig", b"mismatch", b"must ",
    b"should ", b"divisible", b"exceed", b"inconsistent", b"illegal", b"incompatib", b"insufficient", b"corrupt", b"exit",
    b"died", b"segfault", b"segmentation", b"panic", b" in use", b"lost", b"stuck", b"abnormal", b"nan", b"overflow",
    b" ecc ", b"dumped", b"evicted", b"time limit", b"preempt", b"unreachable", b"reset by", b"broken pipe", b"busy",
    b"stale ", b"cqe", b"exhaust", b"full", b"too many", b"oom", b"malloc", b"free()", b"lockup", b"undefined", b"bound",
    b"doesn't", b"couldn't", b"shape join", b"type join", b"already ", b"read-only", b"quota", b"isolate", b"truncated",
    b"connected rankinfo", b"tls switch", b"0x8", b"fault", b"occupy", b"different ", b"same super", b"terminated",
    b"unexpected", b"missing", b"interrupt", b"shut", b"disconnect", b"closed by", b"end of file", b"traceback",
)  # fmt: skip
# codes of CANN, without a word of failure near them at times
CODES = re.compile(rb"\be[a-z]\d{4}\b|\be\d{5}\b")


def may_speak_of_failure(lowered: bytes) -> bool:
    """Whether a line, in lower case, is worth a look; quick, for it is asked of every line."""
    return any(stem in lowered for stem in STEMS) or CODES.search(lowered) is not None


def find_rule(lowered: str, *, warning: bool = False) -> Optional[Rule]:
    """The nearest to the cause of the rules that a line, in lower case, fits; in a warning those that count there."""
    for rule in ALL_RULES:
        if (rule.warned or not warning) and rule.fits(lowered):
            return rule
    return None
