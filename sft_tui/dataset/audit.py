"""Says what a model would learn from a dataset, and what it would not."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.conversation import read_conversations
from sft_tui.dataset.encode import (
    DEFAULT_TEMPLATE,
    IGNORE_TOKEN_ID,
    REASONS,
    EncodedRow,
    check_seq_length,
    encode_conversations,
)
from sft_tui.dataset.mindrecord import read_rows
from sft_tui.dataset.tokenizer import Tokenizer, load_tokenizer
from sft_tui.errors import InvalidInputError

MAX_EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """A row that is cut or masked: the record's id (in a MindRecord: the row's number), why, its tokens."""

    id: str
    reason: str
    tokens: int


@dataclass(frozen=True)
class AuditReport:
    """What is in a dataset. Lengths are in tokens, bos and eos included, before cutting.

    `kind` is "conversations" or "mindrecord"; in the latter what was cut is gone, so `cut` is None. `pad_share` is
    0 to 1. `trained_tokens` counts labels that are not ignored. `masked` counts rows with nothing to learn.
    """

    path: str
    kind: str
    seq_length: int
    rows: int
    tokens_p50: int
    tokens_p95: int
    tokens_max: int
    cut: Optional[int]
    masked: int
    pad_share: float
    trained_tokens: int
    masked_reasons: Dict[str, int]
    cut_examples: Tuple[Finding, ...]
    masked_examples: Tuple[Finding, ...]

    def to_json(self) -> Dict[str, object]:
        """The report as a JSON object."""
        return asdict(self)


class _Tally:
    """Gathers rows; memory is four bytes a row."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.lengths = array("i")
        self.stored = 0
        self.used = 0
        self.trained = 0
        self.cut = 0
        self.reasons: Dict[str, int] = {}
        self.cut_examples: List[Finding] = []
        self.masked_examples: List[Finding] = []

    def add(self, row: EncodedRow) -> None:
        """Count one row that is about to be written."""
        self.lengths.append(row.tokens)
        self.stored += self.length
        self.used += len(row.input_ids)
        self.trained += row.trained_tokens
        if row.cut:
            self.cut += 1
            if len(self.cut_examples) < MAX_EXAMPLES:
                reason = f"{row.tokens} tokens are more than {self.length}"
                self.cut_examples.append(Finding(row.id, reason, row.tokens))
        if row.masked:
            self.mask(row.masked_reason, Finding(row.id, REASONS[row.masked_reason], row.tokens))

    def mask(self, reason: str, finding: Finding) -> None:
        """Count one row that has nothing to learn."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.masked_examples) < MAX_EXAMPLES:
            self.masked_examples.append(finding)

    def report(self, path: Path, kind: str, seq_length: int) -> AuditReport:
        """What was gathered; raises InvalidInputError when that is nothing."""
        if not self.lengths:
            raise InvalidInputError(f"{path} holds no row.", "Give a file with at least one record.")
        lengths = sorted(self.lengths)
        return AuditReport(
            path=str(path),
            kind=kind,
            seq_length=seq_length,
            rows=len(lengths),
            tokens_p50=_percentile(lengths, 50),
            tokens_p95=_percentile(lengths, 95),
            tokens_max=lengths[-1],
            cut=self.cut if kind == "conversations" else None,
            masked=sum(self.reasons.values()),
            pad_share=1.0 - self.used / self.stored,
            trained_tokens=self.trained,
            masked_reasons=self.reasons,
            cut_examples=tuple(self.cut_examples),
            masked_examples=tuple(self.masked_examples),
        )


def audit(
    path: Path,
    model_file: Path,
    seq_length: int,
    *,
    template: str = DEFAULT_TEMPLATE,
    progress: ProgressCallback = no_progress,
) -> AuditReport:
    """Audit a file of conversations as it would be encoded, or a MindRecord as it is.

    `progress` hears of bytes (conversations) or rows (MindRecord). Raises InvalidInputError, also for a MindRecord
    whose rows are neither seq_length + 1 (training) nor seq_length (evaluation) long; EnvironmentNotFitError when a
    MindRecord is to be read without MindSpore.
    """
    check_seq_length(seq_length)
    tokenizer = load_tokenizer(model_file)
    if is_mindrecord(path):
        return _audit_mindrecord(path, tokenizer, seq_length, progress)
    tally = _Tally(seq_length + 1)
    conversations = read_conversations(path, progress)
    for row in encode_conversations(conversations, tokenizer, template, seq_length, source=path):
        tally.add(row)
    return tally.report(path, "conversations", seq_length)


def is_mindrecord(path: Path) -> bool:
    """Whether `path` names a MindRecord, by its name or by the index beside it."""
    indexes = (f"{path.name}.db", f"{path.name}0.db", f"{path.name}00.db")
    return ".mindrecord" in path.suffix or any(path.with_name(name).is_file() for name in indexes)


def _audit_mindrecord(path: Path, tokenizer: Tokenizer, seq_length: int, progress: ProgressCallback) -> AuditReport:
    tally = _Tally(seq_length + 1)
    for number, row in enumerate(read_rows(path), 1):
        if "input_ids" not in row:
            raise InvalidInputError(
                f"{path} has the columns {', '.join(sorted(row))}, but no `input_ids`.", "Was it made by preprocess?"
            )
        ids = row["input_ids"]
        if len(ids) not in (seq_length, seq_length + 1):
            raise InvalidInputError(
                f"{path}: row {number} has {len(ids)} tokens; seq_length {seq_length} wants {seq_length + 1}.",
                f"It was made with --seq_length {len(ids) - 1}.",
            )
        used = _used_tokens(ids.tolist(), tokenizer.pad_id)
        # Plain text (wiki) has no labels: every token but the padding is learned.
        trained = int((row["labels"] != IGNORE_TOKEN_ID).sum()) if "labels" in row else used
        tally.lengths.append(used)
        tally.stored += len(ids)
        tally.used += used
        tally.trained += trained
        if not trained:
            tally.mask("all_ignored", Finding(str(number), "every label is ignored", used))
        progress(Progress(number, 0, "rows"))
    return tally.report(path, "mindrecord", seq_length)


def _used_tokens(ids: List[int], pad_id: int) -> int:
    """The length of a row without the padding at its end."""
    used = len(ids)
    while used and ids[used - 1] == pad_id:
        used -= 1
    return used


def _percentile(ordered: List[int], percent: int) -> int:
    """The smallest value that `percent` of all do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
