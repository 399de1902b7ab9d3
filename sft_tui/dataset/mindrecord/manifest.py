"""Keeps beside a MindRecord what it was made from, so that the same work is not done twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from sft_tui.dataset.mindrecord.match_files import match_files
from sft_tui.dataset.template.chat import CHAT, template_text
from sft_tui.dataset.tokenizer.hf import MAX_BYTES
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_bytes, read_small_object
from sft_tui.files.whole_file import open_whole_file

if TYPE_CHECKING:
    from sft_tui.dataset.audit.report import AuditReport
    from sft_tui.dataset.mindrecord.request import Request

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class FileStamp:
    """A file as it was: absolute path (outputs: name only), bytes, time of change."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Work:
    """All that decides what is in a MindRecord, and whether it is accepted.

    `labels` is "as tokens" or "shifted" (see `Request`). `chat_sha256` is that of the folder's chat template, where it
    is used. What follows is of plain text (see `TextReading` and `Request`).
    """

    dataset_type: str
    template: str
    seq_length: int
    purpose: str
    file_partition: int
    columns: Tuple[Tuple[str, str], ...]
    on_error: str
    max_rejected: float
    max_masked: float
    vocab_size: int
    model_file: FileStamp
    model_sha256: str
    inputs: Tuple[FileStamp, ...]
    labels: str = "as tokens"
    pack: bool = False
    chat_sha256: str = ""
    layout: str = "paragraphs"
    clean: str = "wikitext"
    keep_all: bool = False
    eval_fraction: float = 0.0


@dataclass(frozen=True)
class DataManifest:
    """The content of OUT.mindrecord.json.

    `row_length` is in tokens; `tokens` before cutting; `pad_share` the share of padding among all tokens, 0 to 1;
    `rejected` counts records that could not be used, and were skipped. `records` are those in the rows, which hold
    several where they are packed; 0 in files of older versions. Of plain text they are its passages.
    """

    work: Work
    rows: int
    row_length: int
    cut: int
    masked: int
    rejected: int
    tokens: int
    trained_tokens: int
    pad_share: float
    files: Tuple[FileStamp, ...]
    records: int = 0
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
    found = sorted(match_files(input_glob))
    if not found:
        raise InvalidInputError(
            f"No file matches {input_glob}.", "Check the path; quote a pattern so that the shell leaves it alone."
        )
    return found


def describe_work(request: Request) -> Work:
    """The work that a request means now; raises InvalidInputError for files not there."""
    inputs = find_inputs(request.input_glob)
    try:
        return Work(
            dataset_type=request.dataset_type,
            template=request.template,
            seq_length=request.seq_length,
            purpose=request.purpose,
            file_partition=request.file_partition,
            columns=request.columns,
            on_error=request.on_error,
            max_rejected=request.max_rejected,
            max_masked=request.limits.max_masked,
            vocab_size=request.limits.vocab_size,
            model_file=stamp_file(request.model_file),
            model_sha256=hashlib.sha256(read_small_bytes(request.model_file, MAX_BYTES)).hexdigest(),
            inputs=tuple(stamp_file(path) for path in inputs),
            labels=request.labels,
            pack=request.pack,
            chat_sha256=_hash_template(request),
            layout=request.text.layout,
            clean=request.text.clean,
            keep_all=request.text.keep_all,
            eval_fraction=request.eval_fraction,
        )
    except OSError as error:
        raise InvalidInputError(f"{error.filename} could not be read: {error.strerror}.", "Check the path.") from error


def _hash_template(request: Request) -> str:
    """That of the chat template, "" where none is used or found: encoding will tell."""
    if request.template != CHAT:
        return ""
    text = template_text(request.model_file.parent)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def load_same(output_file: Path, work: Work) -> Optional[DataManifest]:
    """The manifest of `output_file` if it is whole and came from `work`, else None."""
    manifest = load_manifest(output_file)
    if manifest is None or manifest.work != work or not is_whole(output_file, manifest):
        return None
    return manifest


def save_manifest(output_file: Path, manifest: DataManifest) -> None:
    """Write the manifest of `output_file`; raises EnvironmentNotFitError."""
    with open_whole_file(manifest_path(output_file)) as stream:
        json.dump(asdict(manifest), stream, ensure_ascii=False, indent=2)


def audit_path(output_file: Path) -> Path:
    """Where the audit of a MindRecord stands."""
    return output_file.with_name(f"{output_file.name}.audit.json")


def save_audit(output_file: Path, report: AuditReport) -> None:
    """Write the audit of `output_file`; raises EnvironmentNotFitError."""
    with open_whole_file(audit_path(output_file)) as stream:
        json.dump(report.to_json(), stream, ensure_ascii=False, indent=1)


def load_audit(output_file: Path) -> Optional[AuditReport]:
    """The audit of `output_file`; None when there is none, or none that this version can read."""
    from sft_tui.dataset.audit.report import parse_audit

    try:
        return parse_audit(read_small_object(audit_path(output_file)))
    except (OSError, ValueError, TypeError, KeyError, InvalidInputError):
        return None


def load_manifest(output_file: Path) -> Optional[DataManifest]:
    """The manifest of `output_file`; None when there is none, or none that this version can read."""
    try:
        data = read_small_object(manifest_path(output_file))
        if data["schema_version"] != SCHEMA_VERSION:
            return None
        work = dict(data["work"])
        # earlier versions could split an input in two: what is not all of it was made of other work
        if work.pop("part", "all") != "all":
            return None
        for name in ("eval_split", "seed"):
            work.pop(name, None)
        work["model_file"] = FileStamp(**work["model_file"])
        work["inputs"] = _stamps(work["inputs"])
        work["columns"] = tuple((str(ours), str(theirs)) for ours, theirs in work["columns"])
        data.update(work=Work(**work), files=_stamps(data["files"]))
        return DataManifest(**data)
    except (OSError, ValueError, TypeError, KeyError, InvalidInputError):
        return None


def is_whole(output_file: Path, manifest: DataManifest) -> bool:
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
