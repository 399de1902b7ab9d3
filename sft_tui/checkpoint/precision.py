"""The number types on both sides, and the casts between them, bit for bit as MindSpore does them.

numpy is imported inside the casts: the types alone are needed where the interface runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KEEP = "keep"
DTYPES: Dict[str, Optional[str]] = {"fp32": "Float32", "fp16": "Float16", "bf16": "BFloat16", KEEP: None}
SOURCE_TYPES = {"F32": "Float32", "F16": "Float16", "BF16": "BFloat16"}
ITEM_BYTES = {"Float32": 4, "Float16": 2, "BFloat16": 2}


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


def cast_values(values: memoryview, source: str, target: str) -> memoryview:
    """Bytes of one type to bytes of another (both `tensor_type` words), little endian, rounding to nearest even.

    A NaN becomes what `mindspore.Tensor(array, dtype=...)` makes of it (seen with 2.7.2).
    """
    if source == target:
        return values
    floats = _to_float32(values, source)
    if target == "Float32":
        return _as_bytes(floats)
    return _as_bytes(_to_float16(floats) if target == "Float16" else _to_bfloat16(floats))


def count_infinite(values: memoryview, tensor_type: str) -> int:
    """How many values are plus or minus infinity."""
    import numpy as np

    word, infinity = {"Float32": ("<u4", 0x7F800000), "Float16": ("<u2", 0x7C00), "BFloat16": ("<u2", 0x7F80)}[
        tensor_type
    ]
    bits = np.frombuffer(values, dtype=word)
    return int(np.count_nonzero((bits & (0x7FFFFFFF if word == "<u4" else 0x7FFF)) == infinity))


def _to_float32(values: memoryview, source: str) -> npt.NDArray[np.float32]:
    import numpy as np

    if source == "Float32":
        return np.frombuffer(values, dtype="<f4")
    if source == "Float16":
        return np.frombuffer(values, dtype="<f2").astype("<f4")
    bits = np.frombuffer(values, dtype="<u2").astype("<u4")
    bits <<= 16
    return bits.view("<f4")


def _to_float16(floats: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    import numpy as np

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        halves: npt.NDArray[np.uint16] = floats.astype("<f2").view("<u2")
    nan = np.isnan(floats)
    if nan.any():
        halves[nan] = np.where(np.signbit(floats[nan]), 0xFE00, 0x7E00)
    return halves


def _to_bfloat16(floats: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    import numpy as np

    bits = floats.view("<u4")
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits  # wraps for some NaN, which are set below
    rounded >>= 16
    halves: npt.NDArray[np.uint16] = rounded.astype("<u2")
    nan = np.isnan(floats)
    if nan.any():
        halves[nan] = 0x7FC0
    return halves


def _as_bytes(array: npt.NDArray[np.float32] | npt.NDArray[np.uint16]) -> memoryview:
    return array.data.cast("B")
