"""What `preprocess` is asked to do, checked before any long work begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Tuple

from sft_tui.core.sample_limits import MAX_REJECTED
from sft_tui.dataset.audit.limits import Limits
from sft_tui.dataset.encode.encoder import check_seq_length
from sft_tui.dataset.read.rejects import OnError
from sft_tui.dataset.template.chat import CHAT
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

AS_TOKENS, SHIFTED = "as tokens", "shifted"
LABELS = (AS_TOKENS, SHIFTED)
DATASET_TYPES = ("qa", "wiki")
PURPOSES = ("train", "eval")
# mindspore.mindrecord.FileWriter refuses these in a file name, and more than 1000 shards.
_FORBIDDEN = "\\:*?\"<>|`&';"
_MAX_PARTITIONS = 1000
# A MindRecord file begins with its header, however few rows it has.
_FILE_BYTES = 17 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """Parameters of `preprocess`.

    `purpose`: MindFormers trains on rows of seq_length + 1 tokens and evaluates on rows of seq_length. With
    `eval_split` that share of the records goes to `eval_output_file` instead, as rows for evaluation; which, is decided
    by `seed` and by what a record says: the same record always falls on the same side, and so does its double.
    `columns` maps our fields to those of the file. `max_rejected` is the share of records that may be skipped.
    `labels`: MindFormers' networks of the first generation shift labels by one themselves; those of today want them
    "shifted", and rows of exactly seq_length. `pack`: several whole records to a row.
    """

    input_glob: str
    model_file: Path
    output_file: Path
    dataset_type: str = "qa"
    seq_length: int = 4096
    template: str = DEFAULT_TEMPLATE
    file_partition: int = 1
    purpose: str = "train"
    columns: Tuple[Tuple[str, str], ...] = ()
    eval_split: float = 0.0
    eval_output_file: Optional[Path] = None
    seed: int = 0
    on_error: OnError = "fail"
    max_rejected: float = MAX_REJECTED
    limits: Limits = field(default_factory=Limits)
    labels: str = AS_TOKENS
    pack: bool = False

    @property
    def row_length(self) -> int:
        """Tokens of a row in `output_file`."""
        return self.length_of(self.purpose)

    def length_of(self, purpose: str) -> int:
        """Tokens of a row for training or evaluation."""
        return self.seq_length + (purpose == "train" and self.labels == AS_TOKENS)

    def tokens_of(self, purpose: str) -> int:
        """Tokens of a record that a row for training or evaluation makes use of: shifted, the last one is a label."""
        return self.length_of(purpose) + (self.labels == SHIFTED and not self.pack)

    @property
    def eval_output(self) -> Optional[Path]:
        """Where held-out records go, None when none are held out."""
        if not self.eval_split:
            return None
        return self.eval_output_file or self.output_file.with_name(
            f"{self.output_file.stem}_eval{self.output_file.suffix}"
        )

    @property
    def outputs(self) -> Tuple[Path, ...]:
        """The one or two MindRecords that will be written."""
        return (self.output_file,) if self.eval_output is None else (self.output_file, self.eval_output)


def check_request(request: Request) -> None:
    """Raise InvalidInputError for parameters that cannot be served."""
    if request.dataset_type not in DATASET_TYPES:
        known = ", ".join(DATASET_TYPES)
        raise InvalidInputError(f"Dataset type `{request.dataset_type}` is unknown.", f"Known: {known}.")
    if request.purpose not in PURPOSES:
        raise InvalidInputError(f"Purpose `{request.purpose}` is unknown.", f"Known: {', '.join(PURPOSES)}.")
    if request.labels not in LABELS:
        raise InvalidInputError(f"Labels `{request.labels}` are unknown.", f"Known: {', '.join(LABELS)}.")
    if request.pack and (request.labels != SHIFTED or request.dataset_type != "qa"):
        raise InvalidInputError(
            "Only conversations with shifted labels can be packed.", "Leave out --pack, or use --labels shifted."
        )
    if request.labels == SHIFTED and request.dataset_type != "qa":
        raise InvalidInputError("Plain text has no labels to shift.", "Leave out --labels.")
    check_seq_length(request.seq_length)
    if not 1 <= request.file_partition <= _MAX_PARTITIONS:
        raise InvalidInputError(
            f"file_partition is {request.file_partition}; it must lie between 1 and {_MAX_PARTITIONS}.",
            "Mostly 1 is right.",
        )
    for output in request.outputs:
        _check_name(output)
    _check_split(request)


def _check_name(output: Path) -> None:
    if set(output.name) & set(_FORBIDDEN) or output.name != output.name.strip():
        raise InvalidInputError(
            f"MindRecord does not accept the file name {output.name!r}.", "Use letters, digits, `_`, `-` and `.`."
        )


def _check_split(request: Request) -> None:
    for name, share in (
        ("eval_split", request.eval_split),
        ("max_masked", request.limits.max_masked),
    ):
        if not 0.0 <= share <= 1.0:
            raise InvalidInputError(f"{name} is {share}; it must lie between 0 and 1.", "For example 0.05.")
    if request.eval_output_file is not None and not request.eval_split:
        raise InvalidInputError(
            "A file for held-out records was given, but no share to put there.", "Say how many: --eval_split 0.05."
        )
    if not request.eval_split:
        return
    if request.eval_split == 1.0:
        raise InvalidInputError("eval_split is 1: nothing would be left to train on.", "For example 0.05.")
    if request.dataset_type != "qa" or request.purpose != "train":
        raise InvalidInputError(
            "Only records for training (qa) can be split.", "Leave out --eval_split, or use --purpose train."
        )
    if len({output.resolve() for output in request.outputs}) == 1:
        raise InvalidInputError(
            f"{request.output_file} is named for training and for evaluation.", "Choose two different output files."
        )


def check_tokenizer(request: Request, tokenizer: Tokenizer) -> None:
    """Raise InvalidInputError unless the template can be written with this tokenizer, and the model has its ids.

    Only with a folder's own template all ids must be known, since both are of one model: Llama's sentencepiece models
    often have a piece more than the model has embeddings, which never occurs.
    """
    if request.dataset_type != "qa":
        return
    check_template(request.template, tokenizer)
    known = request.limits.vocab_size
    if request.template == CHAT and known and tokenizer.vocab_size > known:
        raise InvalidInputError(
            f"{tokenizer.path} gives ids up to {tokenizer.vocab_size - 1}; the model has only {known} embeddings.",
            "Take tokenizer.json and config.json from the same model.",
        )


def count_row_bytes(row_length: int, vocab_size: int) -> int:
    """Bytes of ids and labels of a row: MindRecord stores its integers in the smallest width that holds them all."""
    return row_length * 2 * (2 if vocab_size <= 2**15 else 4)


def check_space(output_file: Path, rows: float, row_length: int, vocab_size: int, file_partition: int) -> None:
    """Raise EnvironmentNotFitError when a new MindRecord of so many rows will not fit on the disk beside the old."""
    needed = int(rows * count_row_bytes(row_length, vocab_size) * 1.1) + _FILE_BYTES * file_partition
    free = shutil.disk_usage(output_file.parent).free
    if free < needed:
        raise EnvironmentNotFitError(
            f"{output_file.parent} has {free / 1e6:,.0f} MB free; about {needed / 1e6:,.0f} MB are needed.",
            "Free some space or write to another disk.",
        )
