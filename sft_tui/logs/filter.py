"""Chooses the lines of a log that a person wants to see: by level, and by patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, FrozenSet, Pattern, Set, Tuple

from sft_tui.logs.stamp import Level, read_level

LEVELS: Final[Tuple[Level, ...]] = ("debug", "info", "warning", "error")
_LEVEL_IN = 120  # bytes of a line in which it says its level


@dataclass(frozen=True)
class LogFilter:
    """Lines from a level on that hold all patterns; a line without a level belongs to the one before it."""

    level: Level = ""
    patterns: Tuple[Pattern[bytes], ...] = ()

    def wants_level(self, level: Level) -> bool:
        """Lines of this level, and those below one of it, are wanted. What has no level at all is taken for info."""
        return not self.level or LEVELS.index(level or "info") >= LEVELS.index(self.level)

    def wants_text(self, line: bytes) -> bool:
        """The line holds all patterns."""
        return all(pattern.search(line) for pattern in self.patterns)

    def also(self, pattern: Pattern[bytes]) -> LogFilter:
        """The same, with one more pattern."""
        return replace(self, patterns=(*self.patterns, pattern))


EVERYTHING: Final = LogFilter()


def parse_filter(text: str) -> Tuple[LogFilter, FrozenSet[int]]:
    """`level:warning rank:0,3 words` as a filter, and the ranks that are wanted (none: all). Raises ValueError."""
    keep, words = LogFilter(), list[str]()
    ranks: Set[int] = set()
    for word in text.split():
        name, colon, value = word.partition(":")
        if name == "level" and colon:
            if value not in LEVELS:
                raise ValueError(f"{value!r} is no level: write one of {', '.join(LEVELS)}")
            keep = replace(keep, level=value)
        elif name == "rank" and colon:
            if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", value):
                raise ValueError(f"{value!r} is no rank: write rank:0 or rank:0,3")
            ranks.update(map(int, value.split(",")))
        else:
            words.append(word)
    return (keep.also(compile_search(" ".join(words))) if words else keep), frozenset(ranks)


def level_of(line: bytes) -> Level:
    """The level that a raw line gives itself, or an empty string; a traceback begins an error."""
    if line.startswith(b"Traceback (most recent call last)"):
        return "error"
    return read_level(line[:_LEVEL_IN].decode("utf-8", errors="replace"))


def compile_search(text: str) -> Pattern[bytes]:
    """A regular expression as typed; small letters find large ones too. Raises ValueError that says what is wrong."""
    flags = re.MULTILINE if text != text.lower() else re.MULTILINE | re.IGNORECASE
    try:
        return re.compile(text.encode("utf-8"), flags)
    except (re.error, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
