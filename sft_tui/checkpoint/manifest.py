"""Keeps beside a `.ckpt`, as OUT.ckpt.json, what it was made from, so that the same work is not done twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

from sft_tui.checkpoint.formats.source_file import load_json_object, not_read
from sft_tui.errors import InvalidInputError

SCHEMA_VERSION = 2  # 1 had SHA-256 in place of CRC-32


@dataclass(frozen=True)
class SourceStamp:
    """A source file as it was: name in its folder, bytes, time of change."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class TensorRecord:
    """A parameter as it was written; `crc32` is over its values, in hexadecimal."""

    name: str
    dims: Tuple[int, ...]
    tensor_type: str
    crc32: str


@dataclass(frozen=True)
class WeightsManifest:
    """The content of OUT.ckpt.json. `hf_dir` is for people: a folder may be reached by another path tomorrow."""

    family: str
    dtype: str
    hf_dir: str
    sources: Tuple[SourceStamp, ...]
    config: Dict[str, object]
    tensors: Tuple[TensorRecord, ...]
    output_bytes: int
    schema_version: int = SCHEMA_VERSION

    def to_text(self) -> str:
        """The manifest as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def manifest_path(output: Path) -> Path:
    """Where the manifest of a `.ckpt` stands."""
    return output.with_name(output.name + ".json")


def stamp_files(files: Sequence[Path]) -> Tuple[SourceStamp, ...]:
    """The stamps of files that are there; raises InvalidInputError."""
    stamps = []
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise not_read(file, error) from error
        stamps.append(SourceStamp(file.name, status.st_size, status.st_mtime_ns))
    return tuple(stamps)


def check_unchanged(files: Sequence[Path], stamps: Sequence[SourceStamp]) -> None:
    """Raises InvalidInputError for a file that is not as it was when it was stamped."""
    for file, stamp, now in zip(files, stamps, stamp_files(files)):
        if stamp != now:
            raise InvalidInputError(f"{file} was changed while it was converted.", "Convert again when it is complete.")


def load_manifest(output: Path) -> Optional[Dict[str, object]]:
    """The manifest beside `output` as it stands; None when there is none that can be read."""
    try:
        return load_json_object(manifest_path(output))
    except InvalidInputError:
        return None


def is_made_from(
    output: Path, found: Mapping[str, object], *, family: str, dtype: str, sources: Sequence[SourceStamp]
) -> bool:
    """Whether `output` is whole and the manifest `found` says that it was made from these files in this way."""
    wanted = [asdict(stamp) for stamp in sources]
    try:
        size = output.stat().st_size
    except OSError:
        return False
    return (
        found.get("schema_version") == SCHEMA_VERSION
        and found.get("family") == family
        and found.get("dtype") == dtype
        and found.get("sources") == wanted
        and found.get("output_bytes") == size
    )
