"""MindSpore's `.ckpt` on disk: protobuf messages written and read without protobuf and without MindSpore.

Schema (mindspore/train/checkpoint_pb2.py, proto2):

    Checkpoint  { repeated Value value = 1 }
    Value       { string tag = 1; TensorProto tensor = 2 }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }

The content is the last field of all three, so a tensor is a short header and then its bytes as they are.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Protocol, Sequence, Tuple

SLICE_BYTES = 512 * 1024 * 1024  # mindspore.train.serialization cuts the flat bytes here (SLICE_SIZE, in KiB)
_LENGTH_DELIMITED = 2


class Sink(Protocol):
    """Something that takes bytes: an open binary file, in the main."""

    def write(self, data: memoryview, /) -> object:
        """Take all of the data."""


def encode_varint(value: int) -> bytes:
    """A number from 0 to 2**64 - 1 in protobuf's base 128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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


def write_tensor(
    sink: Sink, name: str, dims: Sequence[int], tensor_type: str, nbytes: int, chunks: Iterable[memoryview]
) -> None:
    """Write one tensor from its bytes in chunks of any size. Raises ValueError if they are not `nbytes` in all."""
    for part, room in _cut(chunks, nbytes):
        if room:
            sink.write(memoryview(encode_value_header(name, dims, tensor_type, room)))
        sink.write(part)


def _cut(chunks: Iterable[memoryview], nbytes: int) -> Iterator[Tuple[memoryview, int]]:
    """Chunks cut where a Value ends; with the first of each Value comes its size, with the others 0."""
    done = 0
    for chunk in chunks:
        while len(chunk):
            at = done % SLICE_BYTES
            part = chunk[: SLICE_BYTES - at]
            done += len(part)
            if done > nbytes:
                raise ValueError(f"more than the {nbytes} bytes of the tensor")
            yield part, 0 if at else min(SLICE_BYTES, nbytes - done + len(part))
            chunk = chunk[len(part) :]
    if done != nbytes:
        raise ValueError(f"{done} bytes for a tensor of {nbytes}")


def _start(field: int, length: int) -> bytes:
    return encode_varint(field << 3 | _LENGTH_DELIMITED) + encode_varint(length)
