from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.checkpoint.copy.precision import BLOCK, NonFinite, cast_values, count_non_finite, target_type
from sft_tui.errors import InvalidInputError

BITS32 = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)
# What mindspore.Tensor(floats, dtype=...) of 2.7.2 holds for these bits.
AWKWARD = [0x7F800001, 0xFF800001, 0x7FC12345, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F7FFFFF]
MINDSPORE_BF16 = [0x7FC0, 0x7FC0, 0x7FC0, 0x7FC0, 0x7FC0, 0x7F80]
MINDSPORE_FP16 = [0x7E00, 0xFE00, 0x7E00, 0x7E00, 0xFE00, 0x7C00]


def cast(bits, word, source, target, result):
    return np.frombuffer(cast_values(memoryview(np.array(bits, word)).cast("B"), source, target), result)


def test_awkward_values_become_what_mindspore_makes_of_them():
    assert cast(AWKWARD, "<u4", "Float32", "BFloat16", "<u2").tolist() == MINDSPORE_BF16
    assert cast(AWKWARD, "<u4", "Float32", "Float16", "<u2").tolist() == MINDSPORE_FP16


@given(BITS32)
def test_bfloat16_is_the_nearest_and_even_on_a_tie(bits):
    floats = np.array(bits, "<u4").view("<f4")
    finite = floats[np.isfinite(floats) & (np.abs(floats) < 3.3e38)]
    halves = cast(finite.view("<u4"), "<u4", "Float32", "BFloat16", "<u2")
    exact = finite.astype("f8")
    down = (finite.view("<u4") & 0xFFFF0000).view("<f4").astype("f8")
    up = ((finite.view("<u4") & 0xFFFF0000) + np.uint32(0x10000)).view("<f4").astype("f8")
    even_up = (finite.view("<u4") >> 16) & 1
    nearer_up = (np.abs(up - exact) < np.abs(down - exact)) | ((up - exact == exact - down) & (even_up == 1))
    np.testing.assert_array_equal((halves.astype("<u4") << 16).view("<f4").astype("f8"), np.where(nearer_up, up, down))


def test_every_half_survives_the_way_to_float32_and_back():
    every = np.arange(2**16, dtype="<u2")
    for word, nan_from in (("Float16", 0x7C00), ("BFloat16", 0x7F80)):
        numbers = every[(every & 0x7FFF) <= nan_from]
        wide = cast_values(memoryview(numbers).cast("B"), word, "Float32")
        np.testing.assert_array_equal(np.frombuffer(cast_values(wide, "Float32", word), "<u2"), numbers)


def test_every_half_is_widened_as_numpy_does_it():
    every = np.arange(2**16, dtype="<u2")
    wide = cast(every, "<u2", "Float16", "Float32", "<u4")
    np.testing.assert_array_equal(wide, every.view("<f2").astype("<f4").view("<u4"))


def test_a_long_cast_is_that_of_its_parts():
    bits = np.random.default_rng(1).integers(0, 2**32, 2 * BLOCK + 7, dtype="<u4")
    for target in ("Float16", "BFloat16"):
        whole = cast(bits, "<u4", "Float32", target, "<u2")
        parts = [cast(bits[at : at + 1000], "<u4", "Float32", target, "<u2") for at in range(0, len(bits), 1000)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_what_is_not_finite_is_counted():
    for word, kind in (("<f4", "Float32"), ("<f2", "Float16")):
        values = np.array([np.inf, -np.inf, np.nan, 1, 0], word)
        assert count_non_finite(memoryview(values).cast("B"), kind) == NonFinite(nan=1, infinite=2)
        assert count_non_finite(memoryview(values[3:]).cast("B"), kind) == NonFinite()
    brain = np.array([0x7F80, 0xFF80, 0x7FC0], "<u2")
    assert count_non_finite(memoryview(brain).cast("B"), "BFloat16") == NonFinite(nan=1, infinite=2)


def test_types_that_cannot_be_converted_are_named():
    with pytest.raises(InvalidInputError, match=r"'fp8'.*fp32, fp16, bf16, keep"):
        target_type("fp8", "F32", "w")
    with pytest.raises(InvalidInputError, match="Tensor 'w' is stored as I8"):
        target_type("keep", "I8", "w")
