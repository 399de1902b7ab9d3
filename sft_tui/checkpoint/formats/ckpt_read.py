"""Finds every tensor of a `.ckpt` file without loading one (the format is told in `ckpt_format`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Tuple

from sft_tui.checkpoint.formats.run import Run
from sft_tui.checkpoint.formats.source_file import check_regular_file, not_read
from sft_tui.errors import InvalidInputError
from sft_tui.files.varint import read_varint

TYPE_BYTES = {
    "Int8": 1, "UInt8": 1, "Bool": 1,
    "Int16": 2, "UInt16": 2, "Float16": 2, "BFloat16": 2,
    "Int32": 4, "UInt32": 4, "Float32": 4,
    "Int64": 8, "UInt64": 8, "Float64": 8,
}  # fmt: skip
TEXT_TYPE = "str"  # an entry of append_info; its content is UTF-32
MAX_TEXT_BYTES = 1 << 16  # a tag or a type name is far shorter
MAX_DIMENSIONS = 64
_CRC_MARK, _CRC_BYTES = b"crc_num", 17  # what save_checkpoint(crc_check=True) puts at the end
_HINT = "Write the file again: it is not a whole MindSpore checkpoint."
_CheckpointValue, _ValueTag, _ValueTensor, _ValueMap = 1, 1, 2, 3
_TensorDims, _TensorType, _TensorContent = 1, 2, 3


@dataclass(frozen=True)
class Segment:
    """A run of content: offset from the start of the file, and length, in bytes."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class CkptEntry:
    """One parameter of a `.ckpt`. `dims` is () for a scalar; several `segments` when it was saved in slices."""

    name: str
    dims: Tuple[int, ...]
    tensor_type: str
    segments: Tuple[Segment, ...]

    @property
    def nbytes(self) -> int:
        """Length of the content in bytes."""
        return sum(segment.nbytes for segment in self.segments)


def load_ckpt_entries(path: Path) -> List[CkptEntry]:
    """The parameters of a checkpoint in the order of the file; reads no content.

    Also reads what training saves beside weights (`global_step`, `adam_m.*`, texts). Raises InvalidInputError naming
    the file and, where it is known, the parameter.
    """
    size = check_regular_file(path)
    entries: Dict[str, CkptEntry] = {}
    last = ""
    try:
        with path.open("rb") as stream:
            for entry in _read_values(stream, str(path), size):
                known = entries.get(entry.name)
                if known is not None and entry.name != last:
                    raise InvalidInputError(f"{path} holds {entry.name!r} twice.", _HINT)
                if known is not None:
                    entry = _join(known, entry, path)
                entries[entry.name] = entry
                last = entry.name
    except OSError as error:
        raise not_read(path, error) from error
    if not entries:
        raise InvalidInputError(f"{path} holds no parameter.", _HINT)
    return [_check_size(entry, path) for entry in entries.values()]


def entry_run(file: Path, entry: CkptEntry) -> Run:
    """Where a checkpoint's parameter is in the file."""
    return Run(file, entry.name, tuple((segment.offset, segment.nbytes) for segment in entry.segments))


def _join(known: CkptEntry, more: CkptEntry, path: Path) -> CkptEntry:
    if (known.dims, known.tensor_type) != (more.dims, more.tensor_type):
        raise InvalidInputError(f"{path} has slices of {more.name!r} that do not fit together.", _HINT)
    return CkptEntry(known.name, known.dims, known.tensor_type, known.segments + more.segments)


def _check_size(entry: CkptEntry, path: Path) -> CkptEntry:
    if entry.tensor_type == TEXT_TYPE:
        return entry
    if entry.tensor_type not in TYPE_BYTES:
        raise InvalidInputError(
            f"{path}: {entry.name!r} has the unknown type {entry.tensor_type[:40]!r}.", "Save it as a plain tensor."
        )
    width = TYPE_BYTES[entry.tensor_type]
    dims = () if entry.dims == (0,) and entry.nbytes == width else entry.dims  # how old versions save a scalar
    if math.prod(dims) * width != entry.nbytes:
        raise InvalidInputError(
            f"{path}: {entry.name!r} has {entry.nbytes:,} bytes, but {entry.tensor_type} {list(dims)} needs "
            f"{math.prod(dims) * width:,}.",
            _HINT,
        )
    return CkptEntry(entry.name, dims, entry.tensor_type, entry.segments)


def _read_values(stream: BinaryIO, where: str, size: int) -> Iterator[CkptEntry]:
    cursor = _Cursor(stream, where, 0, _end_without_crc(stream, size))
    for field, value in cursor.fields():
        if field == _CheckpointValue:
            yield _read_value(value)


def _end_without_crc(stream: BinaryIO, size: int) -> int:
    if size < _CRC_BYTES:
        return size
    stream.seek(size - _CRC_BYTES)
    return size - _CRC_BYTES if stream.read(len(_CRC_MARK)) == _CRC_MARK else size


def _read_value(cursor: _Cursor) -> CkptEntry:
    name, tensor = "", None
    for field, value in cursor.fields():
        if field == _ValueTag:
            name = value.text()
        elif field == _ValueTensor:
            tensor = value
        elif field == _ValueMap:
            raise InvalidInputError(f"{cursor.where} holds a map parameter ({name!r}).", "Save it as plain tensors.")
    if not name or tensor is None:
        raise cursor.broken("a value without a name or a tensor")
    return _read_tensor(name, tensor)


def _read_tensor(name: str, cursor: _Cursor) -> CkptEntry:
    dims: List[int] = []
    tensor_type, content = "", None
    for field, value in cursor.fields():
        if field == _TensorDims:
            dims += value.numbers()
        elif field == _TensorType:
            tensor_type = value.text()
        elif field == _TensorContent:
            content = Segment(value.at, value.end - value.at)
        if len(dims) > MAX_DIMENSIONS:
            raise cursor.broken(f"{name!r} with more than {MAX_DIMENSIONS} dimensions")
    if not tensor_type or content is None:
        raise cursor.broken(f"{name!r} without type or content")
    return CkptEntry(name, tuple(dims), tensor_type, (content,))


class _Cursor:
    """A stretch of the file, read as protobuf fields. A number is a stretch too: that of its varint."""

    def __init__(self, stream: BinaryIO, where: str, at: int, end: int) -> None:
        self.stream = stream
        self.where = where
        self.at = at
        self.end = end

    def fields(self) -> Iterator[Tuple[int, _Cursor]]:
        """Field numbers and the stretches with their content, to the end of this stretch."""
        while self.at < self.end:
            key = self._varint()
            kind = key & 7
            begin = self.at
            if kind == 0:
                self._varint()
            elif kind == 2:
                length = self._varint()
                begin = self.at
                self.at += length
            elif kind in (1, 5):
                self.at += 8 if kind == 1 else 4
            else:
                raise self.broken("something that is no protobuf field")
            if self.at > self.end:
                raise self.broken("a field that goes past its end (the file is cut off)")
            yield key >> 3, _Cursor(self.stream, self.where, begin, self.at)

    def text(self) -> str:
        if self.end - self.at > MAX_TEXT_BYTES:
            raise self.broken("a name that is far too long")
        self.stream.seek(self.at)
        try:
            return self.stream.read(self.end - self.at).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.broken("a name that is not UTF-8") from error

    def numbers(self) -> List[int]:
        """One varint, or several of a packed field."""
        found: List[int] = []
        while self.at < self.end:
            found.append(self._varint())
            if found[-1] >= 2**63 or len(found) > MAX_DIMENSIONS:
                raise self.broken("dimensions that cannot be")
        return found

    def broken(self, what: str) -> InvalidInputError:
        return InvalidInputError(f"{self.where} is broken near byte {min(self.at, self.end):,}: it has {what}.", _HINT)

    def _varint(self) -> int:
        self.stream.seek(self.at)
        try:
            value, size = read_varint(self.stream.read(min(10, self.end - self.at)))
        except IndexError:
            raise self.broken("a number that does not end") from None
        self.at += size
        return value
