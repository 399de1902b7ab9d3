"""Finds every tensor of a PyTorch `.bin` (the zip file of `torch.save`) without torch: data stay in place in the file.

Format: torch/serialization.py; zip members NAME/data.pkl and NAME/data/KEY, never compressed.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Dict, List, Optional

from sft_tui.checkpoint.formats.source_file import DOWNLOAD_HINT, check_regular_file, not_read
from sft_tui.checkpoint.formats.tensor_entry import DTYPE_BYTES, TensorEntry
from sft_tui.checkpoint.formats.torch_pickle import MAX_PICKLE_BYTES, PickledTensor, parse_state_dict
from sft_tui.errors import InvalidInputError

MAX_DIRECTORY_BYTES = 4_000_000  # a zip file's list of members: over 30,000 tensors
MAX_NAME = 1000
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # PKWARE APPNOTE 4.3.7
_LOCAL_SIGNATURE = b"PK\3\4"
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch before 1.6 begins with
_TAR_MARK = 257  # where a tar file, as torch before 0.1.10 wrote, says `ustar`
_OLD_HINT = (
    "Where torch is installed: python -c "
    "\"import sys, torch; torch.save(torch.load(sys.argv[1], 'cpu', weights_only=True), sys.argv[2])\" OLD.bin NEW.bin"
)


@dataclass(frozen=True)
class _Member:
    """Where the bytes of a zip member are in the file."""

    offset: int
    nbytes: int
    checksum: int


def load_bin(file: Path) -> List[TensorEntry]:
    """The tensors of one `.bin`, in the order of its dictionary; tied tensors share their place.

    Raises InvalidInputError naming the file and, where there is one, the tensor, or what a pickle wanted to run.
    """
    size = check_regular_file(file)
    try:
        with file.open("rb") as stream:
            _check_start(file, stream)
            members = _find_members(file, size)
            root = _find_root(file, members)
            order = members.get(f"{root}byteorder")
            if order and _read_small(file, stream, order) == b"big":
                raise InvalidInputError(f"{file} was saved on a big-endian machine.", "Save it on a usual one.")
            raw = _read_small(file, stream, members[f"{root}data.pkl"])
    except OSError as error:
        raise not_read(file, error) from error
    state = parse_state_dict(raw, f"{file}: data.pkl")
    return [_locate(file, name, value, root, members) for name, value in state.items()]


def _check_start(file: Path, stream: BinaryIO) -> None:
    start = stream.read(_TAR_MARK + 5)
    if start.startswith(_LEGACY_START) or start[_TAR_MARK:] == b"ustar":
        raise InvalidInputError(f"{file} was saved by torch before 1.6, in a format that is not read.", _OLD_HINT)
    if not start.startswith(_LOCAL_SIGNATURE):
        raise InvalidInputError(f"{file} is not a file of torch.save: it is no zip file.", DOWNLOAD_HINT)


class _BoundedFile(io.FileIO):
    """A file of which nobody reads more at a time than a zip file's list of members may have."""

    def read(self, size: Optional[int] = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of members has {wanted:,} bytes")
        return super().read(wanted) or b""


def _find_members(file: Path, size: int) -> Dict[str, _Member]:
    """All members by name; raises InvalidInputError unless each is stored plainly inside the file."""
    try:
        with _BoundedFile(str(file)) as stream, zipfile.ZipFile(stream) as archive:
            members: Dict[str, _Member] = {}
            for info in archive.infolist():
                if info.filename in members:
                    raise InvalidInputError(f"{file} has two members {info.filename[:200]!r}.", DOWNLOAD_HINT)
                members[info.filename] = _find_member(file, stream, info, size)
            return members
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, struct.error, EOFError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise InvalidInputError(f"{file} is not a whole file of torch.save: {reason}.", DOWNLOAD_HINT) from error


def _find_member(file: Path, stream: _BoundedFile, info: zipfile.ZipInfo, size: int) -> _Member:
    where = f"Member {info.filename[:200]!r} of {file}"
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise InvalidInputError(f"{where} is compressed or encrypted, which torch.save never does.", DOWNLOAD_HINT)
    raw = b""
    if 0 <= info.header_offset < size:
        stream.seek(info.header_offset)
        raw = stream.read(_LOCAL_HEADER.size)
    if len(raw) < _LOCAL_HEADER.size or not raw.startswith(_LOCAL_SIGNATURE):
        raise InvalidInputError(f"{where} is not where the file says.", DOWNLOAD_HINT)
    name_bytes, extra_bytes = _LOCAL_HEADER.unpack(raw)[-2:]
    offset = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    if offset + info.file_size > size:
        raise InvalidInputError(f"{where} goes past the end of the file.", DOWNLOAD_HINT)
    return _Member(offset, info.file_size, info.CRC)


def _find_root(file: Path, members: Dict[str, _Member]) -> str:
    """The folder that all members are in, with its slash."""
    roots = [name[: -len("data.pkl")] for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise InvalidInputError(f"{file} is a zip file, but not of torch.save: it has no data.pkl.", DOWNLOAD_HINT)
    return roots[0]


def _read_small(file: Path, stream: BinaryIO, member: _Member) -> bytes:
    if member.nbytes > MAX_PICKLE_BYTES:
        raise InvalidInputError(f"{file}: data.pkl has {member.nbytes:,} bytes, too many to be names.", DOWNLOAD_HINT)
    stream.seek(member.offset)
    raw = stream.read(member.nbytes)
    if zlib.crc32(raw) != member.checksum:
        raise InvalidInputError(f"{file}: data.pkl is not as it was written (wrong checksum).", DOWNLOAD_HINT)
    return raw


def _locate(file: Path, name: str, value: object, root: str, members: Dict[str, _Member]) -> TensorEntry:
    where = f"Tensor {name[:200]!r} in {file}"
    if not isinstance(value, PickledTensor):
        what = "a dictionary" if isinstance(value, dict) else f"a {type(value).__name__}"
        hint = "Save the model's state_dict() alone."
        raise InvalidInputError(f"{file} holds {what} under {name[:200]!r}, not a tensor.", hint)
    if len(name) > MAX_NAME:
        raise InvalidInputError(f"{where} has a name of {len(name):,} letters.", DOWNLOAD_HINT)
    if not _is_row_by_row(value):
        raise InvalidInputError(f"{where} is not stored row by row.", "Save it after .contiguous().")
    member = members.get(f"{root}data/{value.storage.key}")
    width = DTYPE_BYTES[value.storage.dtype]
    nbytes = math.prod(value.shape) * width
    if member is None:
        raise InvalidInputError(f"{where} has its numbers in data/{value.storage.key[:200]}: missing.", DOWNLOAD_HINT)
    if value.offset * width + nbytes > member.nbytes:
        raise InvalidInputError(
            f"{where} needs {value.offset * width + nbytes:,} bytes; its member has {member.nbytes:,}.", DOWNLOAD_HINT
        )
    return TensorEntry(name, value.storage.dtype, value.shape, file, member.offset + value.offset * width, nbytes)


def _is_row_by_row(tensor: PickledTensor) -> bool:
    step = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides)):
        if size > 1 and stride != step:
            return False
        step *= size
    return True
