"""What a MindRecord was made from, kept beside it, so that the same work is not done twice."""

from __future__ import annotations

import glob
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.whole_file import open_whole_file

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FileStamp:
    """A file as it was: absolute path (outputs: name only), bytes, time of change."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Work:
    """All that decides what is in a MindRecord."""

    dataset_type: str
    template: str
    seq_length: int
    file_partition: int
    model_file: FileStamp
    inputs: Tuple[FileStamp, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of OUT.mindrecord.json. `pad_share` is the share of padding among all tokens, 0 to 1."""

    work: Work
    rows: int
    cut: int
    masked: int
    pad_share: float
    files: Tuple[FileStamp, ...]
    schema_version: int = SCHEMA_VERSION


def manifest_path(output_file: Path) -> Path:
    """Where the manifest of a MindRecord stands."""
    return output_file.with_name(output_file.name + ".json")


def stamp_file(path: Path, name: str = "") -> FileStamp:
    """The stamp of a file that is there; raises OSError."""
    status = path.stat()
    return FileStamp(name or str(path.resolve()), status.st_size, status.st_mtime_ns)


def find_inputs(input_glob: str) -> List[Path]:
    """The files that a pattern (or a plain path) means, sorted; raises InvalidInputError when there are none."""
    literal = Path(input_glob)
    if literal.is_file():
        return [literal]
    # Path.glob takes no absolute pattern.
    matches = map(Path, glob.glob(input_glob, recursive=True))  # noqa: PTH207
    found = sorted(path for path in matches if path.is_file())
    if not found:
        raise InvalidInputError(
            f"No file matches {input_glob}.", "Check the path; quote a pattern so that the shell leaves it alone."
        )
    return found


def describe_work(
    *, dataset_type: str, input_glob: str, model_file: Path, seq_length: int, template: str, file_partition: int
) -> Work:
    """The work that these parameters mean now; raises InvalidInputError for files that are not there."""
    inputs = find_inputs(input_glob)
    try:
        stamps = tuple(stamp_file(path) for path in inputs)
        return Work(dataset_type, template, seq_length, file_partition, stamp_file(model_file), stamps)
    except OSError as error:
        raise InvalidInputError(f"{error.filename} could not be read: {error.strerror}.", "Check the path.") from error


def same_work(
    output_file: Path,
    *,
    dataset_type: str,
    input_glob: str,
    model_file: Path,
    seq_length: int,
    template: str,
    file_partition: int = 1,
) -> bool:
    """Whether `output_file` is whole and was made from these very files with these parameters.

    Raises InvalidInputError for inputs that are not there.
    """
    work = describe_work(
        dataset_type=dataset_type,
        input_glob=input_glob,
        model_file=model_file,
        seq_length=seq_length,
        template=template,
        file_partition=file_partition,
    )
    return load_same(output_file, work) is not None


def load_same(output_file: Path, work: Work) -> Optional[Manifest]:
    """The manifest of `output_file` if it is whole and came from `work`, else None."""
    manifest = load_manifest(output_file)
    if manifest is None or manifest.work != work or not is_whole(output_file, manifest):
        return None
    return manifest


def save_manifest(output_file: Path, manifest: Manifest) -> None:
    """Write the manifest of `output_file`; raises EnvironmentNotFitError."""
    with open_whole_file(manifest_path(output_file)) as stream:
        json.dump(asdict(manifest), stream, ensure_ascii=False, indent=2)


def load_manifest(output_file: Path) -> Optional[Manifest]:
    """The manifest of `output_file`; None when there is none, or none that this version can read."""
    try:
        data = json.loads(manifest_path(output_file).read_text(encoding="utf-8"))
        if data["schema_version"] != SCHEMA_VERSION:
            return None
        work = dict(data["work"])
        work["model_file"] = FileStamp(**work["model_file"])
        work["inputs"] = _stamps(work["inputs"])
        data.update(work=Work(**work), files=_stamps(data["files"]))
        return Manifest(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_whole(output_file: Path, manifest: Manifest) -> bool:
    """Whether the files that the manifest tells of are there, untouched."""
    try:
        return all(stamp_file(output_file.with_name(file.path), file.path) == file for file in manifest.files)
    except OSError:
        return False


def _stamps(items: List[Dict[str, object]]) -> Tuple[FileStamp, ...]:
    return tuple(FileStamp(str(item["path"]), _int(item["size"]), _int(item["mtime_ns"])) for item in items)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not an integer")
    return value
