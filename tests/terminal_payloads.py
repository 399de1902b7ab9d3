"""Texts that would act on a terminal, and how to see in its bytes that one of them got there."""

PAYLOADS = {
    "OSC 52, the clipboard": "\x1b]52;c;c3RvbGVu\x07",
    "OSC 0, the title": "\x1b]0;stolen\x07",
    "OSC 8, a link": "\x1b]8;;http://stolen.example/\x1b\\",
    "CSI, a report": "\x1b[6n",
    "CSI, a colour that we have not": "\x1b[38;5;201m",
    "RIS, a reset": "\x1bc",
    "DCS": "\x1bPstolen\x1b\\",
    "C1 CSI": "\x9b6n",
    "C1 OSC": "\x9d0;stolen\x9c",
    "DEL": "\x7f",
    "backspace": "\x08",
    "direction": "\u202e\u2066\u2069\u202c\u200e\u200f\u061c",
    "line ends": "\u2028\u2029\x85",
}
ALL = "".join(PAYLOADS.values())
# file names know no slash
FILE_NAME = ALL.replace("/", "|")
# what must not be in the bytes; the wizard itself writes none of these
_FORBIDDEN = [
    b"\x1b]52", b"\x1b]0;", b"\x1b]8;", b"\x1b[6n", b"\x1b[38;5;201m", b"\x1bc", b"\x1bPstolen", b"\x7f",
    *(character.encode() for character in PAYLOADS["direction"] + PAYLOADS["line ends"] + "\x9b\x9c\x9d"),
]  # fmt: skip


def found_in(seen: bytes) -> list[bytes]:
    """Which of them a terminal was sent."""
    return [bad for bad in _FORBIDDEN if bad in seen]
