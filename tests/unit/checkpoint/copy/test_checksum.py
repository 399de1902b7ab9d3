from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from sft_tui.checkpoint.copy.checksum import combine_crc32


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_the_whole_follows_from_the_parts(first, second):
    combined = combine_crc32(zlib.crc32(first), zlib.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)
