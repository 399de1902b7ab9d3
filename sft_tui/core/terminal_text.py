"""Makes text from logs and files harmless for a terminal."""

from __future__ import annotations

import re
from typing import Callable

# whole escape sequences first (CSI, OSC with its end, single ESC), then every control character that is left
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[@-_]?|\x9b[0-?]*[ -/]*[@-~]"
)
# what turns the direction of writing round, and what some terminals and editors take for the end of a line
_TURNS = r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS}]")
_IN_A_LINE = re.compile(rf"[\x00-\x1f\x7f-\x9f{_TURNS}\ud800-\udfff]")
_IN_JSON = re.compile(rf"[\x7f-\x9f{_TURNS}]")  # json.dumps escapes the others by itself


def neutralise(text: str) -> str:
    """The text without escape sequences, control characters (tab and newline stay) and direction marks."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def replace_controls(line: str, replace: Callable[[str], str]) -> str:
    """One line with every single character replaced that a terminal could obey, tab and surrogates as well."""
    return _IN_A_LINE.sub(lambda match: replace(match[0]), line)


def escape_json(text: str) -> str:
    """JSON in which what a terminal could obey is escaped; its meaning stays."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def short_duration(seconds: float) -> str:
    """Seconds as `42 s`, `3 min 5 s` or `2 h 7 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def short_size(count: float) -> str:
    """Bytes as `1.2 GB` (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
