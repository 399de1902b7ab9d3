"""Reads the fields of a protobuf message that a library handed over, without the protobuf library."""

from __future__ import annotations

from typing import Iterator, Tuple

from sft_tui.files.varint import read_varint


def read_fields(message: bytes) -> Iterator[Tuple[int, object]]:
    """The fields of a protobuf message: number and value (an int, or bytes)."""
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = read_varint(message, at)
        else:
            size = 8 if kind == 1 else 4
        yield key >> 3, message[at : at + size]
        at += size
