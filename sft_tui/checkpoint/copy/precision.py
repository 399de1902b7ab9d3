"""The number types on both sides, and the casts between them, bit for bit as MindSpore does them.

numpy is imported inside the casts: the types alone are needed where the interface runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Dict, Optional

from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeAlias

    Bits: TypeAlias = "npt.NDArray[np.unsignedinteger[npt.NBitBase]]"

KEEP = "keep"
DTYPES: Dict[str, Optional[str]] = {"fp32": "Float32", "fp16": "Float16", "bf16": "BFloat16", KEEP: None}
SOURCE_TYPES = {"F32": "Float32", "F16": "Float16", "BF16": "BFloat16"}
HF_TYPES = {tensor_type: word for word, tensor_type in SOURCE_TYPES.items()}
ITEM_BYTES = {"Float32": 4, "Float16": 2, "BFloat16": 2}
# float16 is too narrow for what the others hold; bfloat16 only for float32 numbers next to the very largest
OVERFLOWING = {("Float32", "Float16"), ("BFloat16", "Float16"), ("Float32", "BFloat16")}
BLOCK = 128 * 1024  # numbers that stay in the processor's cache through all steps of a cast
_WORDS = {"Float32": "<u4", "Float16": "<u2", "BFloat16": "<u2"}
# the word, the bits of infinity, all bits but the sign
_INFINITIES = {
    "Float32": ("<u4", 0x7F800000, 0x7FFFFFFF),
    "Float16": ("<u2", 0x7C00, 0x7FFF),
    "BFloat16": ("<u2", 0x7F80, 0x7FFF),
}
_SIGN_AND_SIZE = 0x8FFFE000 - 2**32  # of a half that was widened with its sign and moved up by 13


def target_type(dtype: str, source_dtype: str, name: str) -> str:
    """The `tensor_type` that a tensor of `source_dtype` (safetensors' word) is written as under `--dtype`.

    Raises InvalidInputError for an unknown dtype, and naming the tensor for one that holds no plain float weights.
    """
    if dtype not in DTYPES:
        raise InvalidInputError(f"{dtype!r} is not a dtype to convert to.", f"Use one of {', '.join(DTYPES)}.")
    if source_dtype not in SOURCE_TYPES:
        raise InvalidInputError(
            f"Tensor {name!r} is stored as {source_dtype}; only {', '.join(SOURCE_TYPES)} can be converted.",
            "Take the model that is not quantized.",
        )
    return DTYPES[dtype] or SOURCE_TYPES[source_dtype]


class Workspace:
    """Memory that casting and counting use again and again: asking the system for it each time takes longer than both.

    Holds what steps of a cast leave for the next, `BLOCK` numbers at a time; for one thread at a time.
    """

    def __init__(self) -> None:
        import numpy as np

        self.floats = np.empty(BLOCK, "<f4")
        self.bits = np.empty(BLOCK, "<u4")


def cast_values(
    values: memoryview,
    source: str,
    target: str,
    room: Optional[memoryview] = None,
    workspace: Optional[Workspace] = None,
    *,
    finite: bool = False,
) -> memoryview:
    """Bytes of one type to bytes of another (both `tensor_type` words), little endian, rounding to nearest even.

    The result is in `room`, if there is one. Who knows that there is no NaN and no Inf says `finite`. A NaN becomes
    what `mindspore.Tensor(array, dtype=...)` makes of it (seen with 2.7.2).
    """
    import numpy as np

    if source == target:
        return values
    work = workspace or Workspace()
    count = len(values) // ITEM_BYTES[source]
    nbytes = count * ITEM_BYTES[target]
    result = memoryview(bytearray(nbytes)) if room is None else room[:nbytes]
    into = np.frombuffer(result, _WORDS[target])
    numbers = np.frombuffer(values, _WORDS[source])
    for begin in range(0, count, BLOCK):
        part, to = numbers[begin : begin + BLOCK], into[begin : begin + BLOCK]
        if target == "Float32":
            _to_float32(part, source, to.view("<f4"), work, finite)
        elif source != "Float32":
            np.take(_every_half(source, target), part, out=to, mode="clip")
        else:
            _narrow(part.view("<f4"), to, target, work, finite)
    return result


@cache
def _every_half(source: str, target: str) -> Bits:
    """What each of the 65,536 numbers of one half type is in the other: looking it up is the quickest cast there is."""
    import numpy as np

    work = Workspace()
    every, result = np.arange(2**16, dtype="<u2"), np.empty(2**16, "<u2")
    _to_float32(every, source, work.floats[: 2**16], work, False)
    _narrow(work.floats[: 2**16], result, target, work, False)
    return result


def _narrow(floats: npt.NDArray[np.float32], to: Bits, target: str, work: Workspace, finite: bool) -> None:
    if target == "Float16":
        _to_float16(floats, to, work, finite)
    else:
        _to_bfloat16(floats, to, work, finite)


@dataclass(frozen=True)
class NonFinite:
    """How many values are no numbers, and how many are plus or minus infinity."""

    nan: int = 0
    infinite: int = 0


def count_non_finite(values: memoryview, tensor_type: str, workspace: Optional[Workspace] = None) -> NonFinite:
    """Count NaN and Inf; quick where there are none."""
    import numpy as np

    work = workspace or Workspace()
    word, infinity, magnitude = _INFINITIES[tensor_type]
    bits = np.frombuffer(values, dtype=word)
    if not any(_has_exponent(bits[begin : begin + BLOCK], infinity, work) for begin in range(0, len(bits), BLOCK)):
        return NonFinite()
    sizes = bits & magnitude
    infinite = int(np.count_nonzero(sizes == infinity))
    return NonFinite(int(np.count_nonzero(sizes > infinity)), infinite)


def _has_exponent(bits: Bits, infinity: int, work: Workspace) -> bool:
    """Whether a number among at most `BLOCK` is infinite or none."""
    import numpy as np

    masked = work.bits.view(bits.dtype)[: len(bits)]
    np.bitwise_and(bits, bits.dtype.type(infinity), out=masked)
    return bool(masked.max() == infinity)


def _to_float32(numbers: Bits, source: str, to: npt.NDArray[np.float32], work: Workspace, finite: bool) -> None:
    """Widen; exact. For halves, numpy's own cast is five times slower than moving exponent and fraction into place."""
    import numpy as np

    if source == "BFloat16":
        bits = to.view("<u4")
        np.copyto(bits, numbers)
        bits <<= 16
        return
    signed = to.view("<i4")
    np.copyto(signed, numbers.view("<i2"))
    signed <<= 13
    signed &= _SIGN_AND_SIZE
    to *= np.float32(2.0**112)  # the exponent's bias is 127 instead of 15; subnormal halves come out right as well
    if not finite and _has_exponent(numbers, 0x7C00, work):
        odd = (numbers & 0x7C00) == 0x7C00
        to[odd] = numbers.view("<f2")[odd].astype("<f4")


def _to_float16(floats: npt.NDArray[np.float32], to: Bits, work: Workspace, finite: bool) -> None:
    import numpy as np

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        np.copyto(to.view("<f2"), floats, casting="same_kind")
    if finite or not _has_exponent(floats.view("<u4"), 0x7F800000, work):
        return
    nan = np.isnan(floats)
    to[nan] = np.where(np.signbit(floats[nan]), 0xFE00, 0x7E00)


def _to_bfloat16(floats: npt.NDArray[np.float32], to: Bits, work: Workspace, finite: bool) -> None:
    import numpy as np

    bits, rounded = floats.view("<u4"), work.bits[: len(floats)]
    np.right_shift(bits, 16, out=rounded)
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits  # wraps for some NaN, which are set below
    rounded >>= 16
    np.copyto(to, rounded, casting="same_kind")
    if not finite and _has_exponent(bits, 0x7F800000, work):
        to[np.isnan(floats)] = 0x7FC0
