from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.files.varint import encode_varint, read_varint


@given(st.integers(0, 2**63 - 1))
def test_numbers_are_base_128(value):
    encoded = encode_varint(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == value
    assert len(encoded) == max(1, math.ceil(value.bit_length() / 7))
    assert read_varint(b"\xff" + encoded + b"\x01", 1) == (value, 1 + len(encoded))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff\xff"])
def test_a_number_that_does_not_end(data):
    with pytest.raises(IndexError):
        read_varint(data)
