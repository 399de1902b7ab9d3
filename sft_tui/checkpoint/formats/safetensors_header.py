"""Reads the header of one safetensors file and proves that every tensor in it is where the header says.

Our own reader, because converting needs exact offsets in the file, constant memory and an error that names the tensor.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import List

from sft_tui.checkpoint.formats.source_file import (
    DOWNLOAD_HINT,
    MAX_JSON_BYTES,
    check_regular_file,
    not_read,
    parse_json_object,
)
from sft_tui.checkpoint.formats.tensor_entry import DTYPE_BYTES, TensorEntry
from sft_tui.errors import InvalidInputError

MAX_DIMENSIONS = 32
MAX_INT = 2**63 - 1
_LENGTH = struct.Struct("<Q")


def load_header(file: Path) -> List[TensorEntry]:
    """The tensors of one safetensors file, in the order of their bytes.

    Raises InvalidInputError naming the file and, where there is one, the tensor.
    """
    size = check_regular_file(file)
    header_bytes = _header_length(file, size)
    try:
        with file.open("rb") as stream:
            stream.seek(_LENGTH.size)
            raw = stream.read(header_bytes)
    except OSError as error:
        raise not_read(file, error) from error
    header = parse_json_object(raw, f"The header of {file}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise InvalidInputError(f"The header of {file} has a __metadata__ that is not an object.", DOWNLOAD_HINT)
    start = _LENGTH.size + header_bytes
    entries = [_parse_entry(file, name, value, start) for name, value in header.items()]
    entries.sort(key=lambda entry: (entry.offset, entry.nbytes, entry.name))
    _check_layout(file, entries, start, size)
    return entries


def _header_length(file: Path, size: int) -> int:
    if size < _LENGTH.size:
        raise InvalidInputError(f"{file} has only {size} bytes: it is not a safetensors file.", DOWNLOAD_HINT)
    try:
        with file.open("rb") as stream:
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    except OSError as error:
        raise not_read(file, error) from error
    except struct.error as error:
        raise InvalidInputError(f"{file} became shorter while it was read.", DOWNLOAD_HINT) from error
    if length > size - _LENGTH.size:
        raise InvalidInputError(
            f"{file} ends inside its header: {size:,} bytes, and the header alone needs {length + _LENGTH.size:,}.",
            DOWNLOAD_HINT,
        )
    if length > MAX_JSON_BYTES:
        # the library allows 100 MB, which would take ten times that to understand
        raise InvalidInputError(
            f"{file} has a header of {length:,} bytes (at most {MAX_JSON_BYTES:,}): that is no language model.",
            DOWNLOAD_HINT,
        )
    return int(length)


def _parse_entry(file: Path, name: str, value: object, start: int) -> TensorEntry:
    where = f"Tensor {name[:200]!r} in {file}"
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where} is not described by an object.", DOWNLOAD_HINT)
    dtype = value.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise InvalidInputError(f"{where} has the unknown dtype {str(dtype)[:40]!r}.", "Save it as F32, F16 or BF16.")
    shape = _parse_ints(value.get("shape"))
    if shape is None or len(shape) > MAX_DIMENSIONS:
        raise InvalidInputError(f"{where} has no usable shape.", DOWNLOAD_HINT)
    offsets = _parse_ints(value.get("data_offsets"))
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InvalidInputError(f"{where} has no usable data_offsets.", DOWNLOAD_HINT)
    begin, end = offsets
    needed = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - begin != needed:
        raise InvalidInputError(
            f"{where} has {end - begin:,} bytes, but {dtype} {list(shape)} needs {needed:,}.", DOWNLOAD_HINT
        )
    return TensorEntry(name, dtype, shape, file, start + begin, end - begin)


def _parse_ints(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    if not all(type(item) is int and 0 <= item <= MAX_INT for item in value):
        return None
    return tuple(value)


def _check_layout(file: Path, entries: List[TensorEntry], start: int, size: int) -> None:
    """The data must be covered once and wholly, as the format demands."""
    end = start
    for entry in entries:
        if entry.offset + entry.nbytes > size:
            raise InvalidInputError(
                f"{file} is cut off: tensor {entry.name!r} ends at byte {entry.offset + entry.nbytes:,}, "
                f"the file at byte {size:,}.",
                DOWNLOAD_HINT,
            )
        if entry.offset < end:
            raise InvalidInputError(f"Tensor {entry.name!r} in {file} overlaps another one.", DOWNLOAD_HINT)
        if entry.offset > end:
            raise InvalidInputError(
                f"{file} has {entry.offset - end:,} bytes before tensor {entry.name!r} that belong to no tensor.",
                DOWNLOAD_HINT,
            )
        end = entry.offset + entry.nbytes
    if end != size:
        raise InvalidInputError(f"{file} has {size - end:,} bytes at its end that belong to no tensor.", DOWNLOAD_HINT)
