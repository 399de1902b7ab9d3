"""Writes training data as MindRecord, and reads it back. The only module of this room that imports MindSpore."""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.conversation import read_conversations
from sft_tui.dataset.encode import DEFAULT_TEMPLATE, REASONS, EncodedRow, encode_conversations
from sft_tui.dataset.manifest import Manifest, Work, describe_work, load_same, save_manifest
from sft_tui.dataset.publish import output_names, partial_folder, publish, stamp_outputs
from sft_tui.dataset.request import check_request, check_space, count_conversations
from sft_tui.dataset.tokenizer import Tokenizer, load_tokenizer
from sft_tui.dataset.wiki import encode_wiki
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, StoppedError
from sft_tui.whole_file import check_output_path, not_written

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Rows handed over in one write: one by one costs three times as much, more than 64 gains nothing.
_BATCH = 128
_COLUMN: Dict[str, object] = {"type": "int32", "shape": [-1]}


@dataclass(frozen=True)
class PreprocessResult:
    """What is in the MindRecord. `pad_share` is the share of padding, 0 to 1.

    `files` are the MindRecord files, one per partition. `skipped`: it was there already, made from the same files.
    """

    rows: int
    cut: int
    masked: int
    pad_share: float
    files: Tuple[Path, ...]
    seconds: float
    skipped: bool

    def to_json(self) -> Dict[str, object]:
        """The result as a JSON object."""
        return {**asdict(self), "files": [str(path) for path in self.files]}


@dataclass
class _Tally:
    rows: int = 0
    cut: int = 0
    masked: int = 0
    used: int = 0
    length: int = 0
    reasons: Dict[str, int] = field(default_factory=dict)

    def count(self, row: EncodedRow) -> None:
        self.rows += 1
        self.cut += row.cut
        if row.masked:
            self.masked += 1
            self.reasons[row.masked_reason] = self.reasons.get(row.masked_reason, 0) + 1
        self.used += min(row.tokens, self.length)

    @property
    def pad_share(self) -> float:
        return 1.0 - self.used / (self.rows * self.length) if self.rows else 0.0


def preprocess(
    *,
    dataset_type: str,
    input_glob: str,
    model_file: Path,
    seq_length: int,
    output_file: Path,
    template: str = DEFAULT_TEMPLATE,
    file_partition: int = 1,
    reuse: bool = True,
    progress: ProgressCallback = no_progress,
) -> PreprocessResult:
    """Tokenize conversations ("qa") or plain text ("wiki") into a MindRecord of rows of seq_length + 1 tokens.

    Columns: `input_ids` and, for qa, `labels`, int32 [-1] (MindFormers llama_preprocess). `reuse`: when the same
    work is done already, nothing is done. `progress` hears of rows. An output from before is kept until the new one
    is whole. Raises InvalidInputError for bad input, and when no row has anything to learn; EnvironmentNotFitError
    when MindSpore is missing, or the output cannot be written.
    """
    started = time.monotonic()
    check_request(dataset_type, seq_length, output_file, template, file_partition)
    work = describe_work(
        dataset_type=dataset_type,
        input_glob=input_glob,
        model_file=model_file,
        seq_length=seq_length,
        template=template,
        file_partition=file_partition,
    )
    done = load_same(output_file, work) if reuse else None
    if done is not None:
        return _result(done, output_file, started, skipped=True)
    tokenizer = load_tokenizer(model_file)
    check_output_path(output_file)
    total = count_conversations(work) if dataset_type == "qa" else 0
    check_space(work, output_file, total, tokenizer.vocab_size)
    mindrecord = import_mindrecord()
    with partial_folder(output_file) as folder:
        tally = _write(mindrecord, folder / output_file.name, work, tokenizer, total, progress)
        publish(folder, output_file, file_partition)
    manifest = Manifest(
        work, tally.rows, tally.cut, tally.masked, tally.pad_share, stamp_outputs(output_file, file_partition)
    )
    save_manifest(output_file, manifest)
    return _result(manifest, output_file, started, skipped=False)


def import_mindrecord() -> Any:  # noqa: ANN401 - MindSpore has no types
    """MindSpore's mindrecord module; raises EnvironmentNotFitError naming the interpreter."""
    try:
        return importlib.import_module("mindspore.mindrecord")
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error.__cause__ or error.__context__, (KeyboardInterrupt, StoppedError)):
            raise StoppedError("Stopped.") from error  # numpy turns an interrupt in its import into an ImportError
        raise EnvironmentNotFitError(
            f"MindSpore could not be imported by {sys.executable}: {error}.",
            "Run this with the interpreter of the training environment, or install MindSpore there: "
            "pip install 'sft-tui[train]'.",
        ) from error


def _write(
    mindrecord: Any,  # noqa: ANN401
    target: Path,
    work: Work,
    tokenizer: Tokenizer,
    total: int,
    progress: ProgressCallback,
) -> _Tally:
    """Write all rows to `target`; return the counts. Raises InvalidInputError when there is nothing to learn."""
    tally = _Tally(length=work.seq_length + 1)
    rows = _qa_rows(work, tokenizer, tally) if work.dataset_type == "qa" else _wiki_rows(work, tokenizer, tally)
    try:
        writer = mindrecord.FileWriter(file_name=str(target), shard_num=work.file_partition)
        columns = ("input_ids", "labels") if work.dataset_type == "qa" else ("input_ids",)
        writer.add_schema({column: dict(_COLUMN) for column in columns}, work.dataset_type)
        for batch in _batches(rows):
            writer.write_raw_data(batch)
            progress(Progress(tally.rows, total, "rows"))
        _check_tally(work, tally)
        writer.commit()
    except OSError as error:
        raise not_written(target, error) from error
    except (RuntimeError, mindrecord.common.exceptions.MindRecordException) as error:
        raise EnvironmentNotFitError(
            f"MindSpore could not write {target.name}: {_first_cause(error)}",
            "Check the free space and your rights on that folder.",
        ) from error
    return tally


def _first_cause(error: Exception) -> str:
    """The one line that matters of MindSpore's message, which frames it with many others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if line.startswith("[ERROR]")), lines[0])


def _qa_rows(work: Work, tokenizer: Tokenizer, tally: _Tally) -> Iterator[Dict[str, npt.NDArray[np.int32]]]:
    for stamp in work.inputs:
        conversations = read_conversations(Path(stamp.path))
        for row in encode_conversations(conversations, tokenizer, work.template, work.seq_length):
            tally.count(row)
            input_ids, labels = row.padded(work.seq_length + 1, tokenizer.pad_id)
            yield {"input_ids": input_ids, "labels": labels}


def _wiki_rows(work: Work, tokenizer: Tokenizer, tally: _Tally) -> Iterator[Dict[str, npt.NDArray[np.int32]]]:
    for stamp in work.inputs:
        for ids in encode_wiki(Path(stamp.path), tokenizer, work.seq_length):
            tally.rows += 1
            tally.used += tally.length
            yield {"input_ids": ids}


def _batches(
    rows: Iterable[Dict[str, npt.NDArray[np.int32]]],
) -> Iterator[List[Dict[str, npt.NDArray[np.int32]]]]:
    batch: List[Dict[str, npt.NDArray[np.int32]]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_tally(work: Work, tally: _Tally) -> None:
    first = work.inputs[0].path
    if not tally.rows:
        raise InvalidInputError(
            f"{first} does not fill a single row of {tally.length} tokens.",
            "Give more text, or a smaller seq_length.",
        )
    if tally.masked == tally.rows:
        reason = max(tally.reasons, key=lambda name: tally.reasons[name])
        raise InvalidInputError(
            f"{first}: none of {tally.rows} rows has anything to learn, mostly because {REASONS[reason]}.",
            f"{tally.cut} rows are longer than seq_length {work.seq_length}: a larger one may help."
            if tally.cut
            else "Look at the answers in the file.",
        )


def _result(manifest: Manifest, output_file: Path, started: float, *, skipped: bool) -> PreprocessResult:
    names = output_names(output_file.name, manifest.work.file_partition)
    files = tuple(output_file.with_name(name) for name in names)
    seconds = time.monotonic() - started
    return PreprocessResult(manifest.rows, manifest.cut, manifest.masked, manifest.pad_share, files, seconds, skipped)


def find_mindrecord(path: Path) -> Path:
    """The first file of a MindRecord, by the name it was written under (with partitions: name0) or by a file of it.

    Raises InvalidInputError when it, or its index, is not there.
    """
    shards = (item for item in path.parent.glob("*") if item.name.startswith(path.name))
    numbered = sorted(item for item in shards if item.name[len(path.name) :].isdigit())
    first = path if path.is_file() else next(iter(numbered), path)
    if not first.is_file():
        raise InvalidInputError(f"{path} does not exist.", "Give the name that preprocess wrote.")
    index = first.with_name(first.name + ".db")
    if not index.is_file():
        raise InvalidInputError(f"{first} has no index {index.name} beside it.", "Copy the .db file along with it.")
    return first


def read_rows(path: Path) -> Iterator[Dict[str, npt.NDArray[np.int32]]]:
    """Yield the rows of a MindRecord with all its partitions, column name -> int32 array; order is not promised.

    Raises InvalidInputError for a file that MindSpore cannot read, EnvironmentNotFitError without MindSpore.
    """
    first = find_mindrecord(path)
    mindrecord = import_mindrecord()
    try:
        # One file is enough: its index names the others.
        reader = mindrecord.FileReader(str(first))
        yield from reader.get_next()
        reader.close()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{first} could not be read as MindRecord.",
            "A MindRecord cannot be read after its file was renamed, nor without all its partitions.",
        ) from error
