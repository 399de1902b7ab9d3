"""Reads and writes protobuf's numbers: seven bits a byte, the lowest first."""

from __future__ import annotations

from typing import Tuple


def encode_varint(value: int) -> bytes:
    """A number from 0 to 2**64 - 1 in protobuf's base 128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int = 0) -> Tuple[int, int]:
    """The number that begins at `at`, and where what follows begins. Raises IndexError where it does not end."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
