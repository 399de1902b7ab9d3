"""Puts WikiText back into ordinary writing, as MindFormers' two scripts do."""

from __future__ import annotations

import re
from typing import List, Tuple

# The rules by which WikiText is put back into ordinary writing (Megatron-LM's wikitext detokenizer, which
# MindFormers uses as well). Order matters: a rule sees what the ones above it left. The oddities are theirs.
_REPLACE_FIRST: Tuple[Tuple[str, str], ...] = (("s '", "s'"),)
_PATTERN_FIRST: Tuple[Tuple[str, str], ...] = ((r"/' [0-9]/", r"/'[0-9]/"),)
_REPLACE_JOINED: Tuple[Tuple[str, str], ...] = (
    *((f" @{mark}@ ", mark) for mark in "-,."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
)
_PAIRS: Tuple[Tuple[str, str], ...] = (("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'"))
_REPLACE_LAST: Tuple[Tuple[str, str], ...] = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" \u00b0 ", "\u00b0"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def clean_wikitext(text: str, *, dots: bool = False) -> str:
    """Undo the spacing of WikiText. Pairs of quotes are matched across paragraphs, so give what belongs together.

    `dots`: before every dot, also at the end of a line (wikitext2_data_process has that rule, llama_preprocess not).
    """
    for old, new in _REPLACE_FIRST:
        text = text.replace(old, new)
    for pattern, new in _PATTERN_FIRST:
        text = re.sub(pattern, new, text)
    for old, new in _REPLACE_JOINED:
        text = text.replace(old, new)
        if dots and old == " . ":
            text = text.replace(" .", ".")
    for opening, closing in _PAIRS:
        text = _close_up(text, opening, closing)
    for old, new in _REPLACE_LAST:
        text = text.replace(old, new)
    return text


def _close_up(text: str, opening: str, closing: str) -> str:
    """Take the space away within each pair. They have a regular expression, which takes forever where many open and
    none closes.
    """
    parts: List[str] = []
    at = 0
    while True:
        begin = text.find(opening, at)
        end = text.find(closing, begin + 1) if begin >= 0 else -1
        if end < 0:
            return "".join([*parts, text[at:]])
        parts += [text[at:begin], opening, text[begin + 1 : end].strip(), closing]
        at = end + 1
