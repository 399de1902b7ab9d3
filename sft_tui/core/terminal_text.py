"""Makes text from logs and files harmless for a terminal."""

from __future__ import annotations

import re

# whole escape sequences first (CSI, OSC with its end, single ESC), then every control character that is left
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[@-_]?|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def neutralise(text: str) -> str:
    """The text without escape sequences, control characters (tab and newline stay) and direction overrides."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


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
