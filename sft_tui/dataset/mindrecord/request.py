"""Describes what `preprocess` is asked to do, and checks it before any long work begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Tuple

from sft_tui.core.profile_defaults import MAX_REJECTED
from sft_tui.dataset.audit.limits import Limits
from sft_tui.dataset.encode.encoder import check_seq_length
from sft_tui.dataset.read.rejects import OnError
from sft_tui.dataset.read.remarks import OnUnread
from sft_tui.dataset.template.chat import CHAT
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.text.passages import CLEANINGS, LAYOUTS, TextReading, text_columns
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import InvalidInputError
from sft_tui.files.disk_room import check_room

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

    `purpose`: MindFormers trains on rows of seq_length + 1 tokens and evaluates on rows of seq_length. `columns` maps
    our fields to those of the file. `max_rejected` is the share of records that may be skipped.
    `labels`: MindFormers' networks of the first generation shift labels by one themselves; those of today want them
    "shifted", and rows of exactly seq_length. `pack`: several whole records to a row. `on_unread`: "fail" stops at
    a field that is not read.
    `text`: how plain text is read. `eval_fraction`: of its passages that share is held out; rows for training are those
    of the others, rows for evaluation those of the share. 0: rows are of all.
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
    on_error: OnError = "fail"
    max_rejected: float = MAX_REJECTED
    limits: Limits = field(default_factory=Limits)
    labels: str = AS_TOKENS
    pack: bool = False
    on_unread: OnUnread = "warn"
    text: TextReading = field(default_factory=TextReading)
    eval_fraction: float = 0.0

    @property
    def is_text(self) -> bool:
        """Plain text, not conversations."""
        return self.dataset_type == "wiki"

    @property
    def written_columns(self) -> Tuple[str, ...]:
        """Those of the rows."""
        return text_columns(self.text, shifted=self.labels == SHIFTED) if self.is_text else ("input_ids", "labels")

    @property
    def row_length(self) -> int:
        """Tokens of a row."""
        return self.seq_length + (self.purpose == "train" and self.labels == AS_TOKENS)

    @property
    def used_tokens(self) -> int:
        """Tokens of a record that a row makes use of: shifted, the last one is a label."""
        return self.row_length + (self.labels == SHIFTED and not self.pack)


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
    check_seq_length(request.seq_length)
    _check_text(request)
    if not 1 <= request.file_partition <= _MAX_PARTITIONS:
        raise InvalidInputError(
            f"file_partition is {request.file_partition}; it must lie between 1 and {_MAX_PARTITIONS}.",
            "Mostly 1 is right.",
        )
    _check_name(request.output_file)
    share = request.limits.max_masked
    if not 0.0 <= share <= 1.0:
        raise InvalidInputError(f"max_masked is {share}; it must lie between 0 and 1.", "For example 0.05.")


def _check_text(request: Request) -> None:
    if not request.is_text and (request.text != TextReading() or request.eval_fraction):
        raise InvalidInputError(
            "How plain text is read was given, but these are conversations.", "Use --dataset_type wiki for plain text."
        )
    if request.text.layout not in LAYOUTS or request.text.clean not in CLEANINGS:
        known = f"{', '.join(LAYOUTS)}; {', '.join(CLEANINGS)}"
        raise InvalidInputError(f"{request.text} is unknown.", f"Known: {known}.")
    if not 0.0 <= request.eval_fraction < 1.0:
        raise InvalidInputError(
            f"eval_fraction is {request.eval_fraction}; it must lie between 0 and 1.", "For example 0.05."
        )


def _check_name(output: Path) -> None:
    if set(output.name) & set(_FORBIDDEN) or output.name != output.name.strip():
        raise InvalidInputError(
            f"MindRecord does not accept the file name {output.name!r}.", "Use letters, digits, `_`, `-` and `.`."
        )


def check_tokenizer(request: Request, tokenizer: Tokenizer) -> None:
    """Raise InvalidInputError unless the template can be written with this tokenizer, and the model has its ids.

    Only with a folder's own template all ids must be known, since both are of one model: Llama's sentencepiece models
    often have a piece more than the model has embeddings, which never occurs.
    """
    if request.is_text:
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
    check_room(output_file.parent, needed, output_file.name)
