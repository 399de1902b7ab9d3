"""MindSpore's `.ckpt` on disk: protobuf messages written and read without protobuf and without MindSpore.

Schema (mindspore/train/checkpoint_pb2.py, proto2):

    Checkpoint  { repeated Value value = 1 }
    Value       { string tag = 1; TensorProto tensor = 2 }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }

The content is the last field of all three, so a tensor is a short header and then its bytes as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

from sft_tui.files.varint import encode_varint

SLICE_BYTES = 512 * 1024 * 1024  # mindspore.train.serialization cuts the flat bytes here (SLICE_SIZE, in KiB)
_LENGTH_DELIMITED = 2


@dataclass(frozen=True)
class ValuePlan:
    """One Value in the file: where it begins, its bytes before the content, and the content's length in bytes."""

    offset: int
    header: bytes
    nbytes: int

    @property
    def content(self) -> Tuple[int, int]:
        """Offset in the file and length of the content."""
        return self.offset + len(self.header), self.nbytes


def encode_value_header(name: str, dims: Sequence[int], tensor_type: str, content_bytes: int) -> bytes:
    """All bytes of one Value that come before its content."""
    shape = b"".join(b"\x08" + encode_varint(dim) for dim in dims)  # proto2: not packed
    before_content = shape + _start(2, len(tensor_type)) + tensor_type.encode() + _start(3, content_bytes)
    tag = name.encode()
    value = _start(1, len(tag)) + tag + _start(2, len(before_content) + content_bytes) + before_content
    return _start(1, len(value) + content_bytes) + value


def slice_sizes(nbytes: int) -> Iterator[int]:
    """The sizes in bytes of the Values that a tensor is cut into."""
    for begin in range(0, nbytes, SLICE_BYTES):
        yield min(SLICE_BYTES, nbytes - begin)


def encoded_size(name: str, dims: Sequence[int], tensor_type: str, nbytes: int) -> int:
    """How many bytes of the file a tensor takes, headers included."""
    return nbytes + sum(len(encode_value_header(name, dims, tensor_type, size)) for size in slice_sizes(nbytes))


def plan_tensor(name: str, dims: Sequence[int], tensor_type: str, nbytes: int, offset: int) -> List[ValuePlan]:
    """The Values of a tensor that begins at `offset` in the file."""
    plans = []
    for size in slice_sizes(nbytes):
        header = encode_value_header(name, dims, tensor_type, size)
        plans.append(ValuePlan(offset, header, size))
        offset += len(header) + size
    return plans


def _start(field: int, length: int) -> bytes:
    return encode_varint(field << 3 | _LENGTH_DELIMITED) + encode_varint(length)
