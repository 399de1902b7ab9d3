"""Python exceptions that no rule knows: the kind is all that can be told of them."""

from __future__ import annotations

import re
from typing import Optional

from sft_tui.diagnosis.rules.rule import Force, Rule

_EXCEPTION = re.compile(r"^(?:\w+\.)*([A-Z]\w*(?:Error|Exception|Interrupt|Timeout))(?::|$)")

_CATEGORIES = {
    "TypeError": "config_other", "ValueError": "config_other", "KeyError": "config_other", "NameError": "config_other",
    "AttributeError": "config_other", "IndexError": "config_other", "AssertionError": "config_other",
    "SyntaxError": "config_other", "IndentationError": "config_other", "FileNotFoundError": "config_other",
    "NotADirectoryError": "config_other", "IsADirectoryError": "config_other", "ValidationError": "config_other",
    "NotImplementedError": "op_unsupported", "ConnectionError": "network", "ConnectionRefusedError": "network",
    "ConnectionResetError": "network", "URLError": "network", "HTTPError": "network", "FloatingPointError": "overflow_nan",
    "ZeroDivisionError": "other", "UnicodeDecodeError": "dataset_mindrecord", "JSONDecodeError": "config_other",
}  # fmt: skip
_OF_OTHERS = ("BrokenPipeError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "TimeoutError")


def find_exception(words: str) -> Optional[Rule]:
    """A rule for the exception that the line reports, or None where it reports none."""
    match = _EXCEPTION.match(words)
    if match is None:
        return None
    name = match[1]
    # its word is only a name here: many messages of one kind count as one
    force = Force.WAIT if name in _OF_OTHERS else Force.GENERIC
    return Rule(name, _CATEGORIES.get(name, "unknown"), force, sure=False, remedy="traceback")
