"""Counts what is in a dataset, in twelve bytes a row, and reports it."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from sft_tui.dataset.encode.encoded_row import REASONS
from sft_tui.dataset.encode.pipeline import REASON_NAMES, EncodedBatch
from sft_tui.dataset.read.remarks import RemarkCounts
from sft_tui.dataset.template.taught_end import TaughtEnd, parse_taught_end
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA_VERSION = 1
MAX_EXAMPLES = 10
# a suggested seq_length covers this share of the records, and is a multiple of that many tokens
COVERED = (0.95, 0.99, 1.0)
ROUND_TO = 64
# upper ends of the histogram's bars: each half as much again as the one before, in round numbers
BARS = tuple(size for power in range(4, 27) for size in (2**power, 3 * 2 ** (power - 1)))


@dataclass(frozen=True)
class MaskedExample:
    """A row that is cut or masked: the record's id (in a MindRecord: the row's number), why, its tokens."""

    id: str
    reason: str
    tokens: int


@dataclass(frozen=True)
class Bar:
    """Rows of at most `tokens` tokens that are longer than the bar before allows."""

    tokens: int
    rows: int


@dataclass(frozen=True)
class Suggestion:
    """What another seq_length would bring: the share of records that are whole, and that of padding, 0 to 1."""

    covered: float
    seq_length: int
    pad_share: float


@dataclass(frozen=True)
class AuditReport:
    """What is in a dataset. Lengths are in tokens, bos and eos included, before cutting.

    `kind` is "conversations", "mindrecord" or "wiki"; a MindRecord no longer tells what was cut or said twice: these
    are None. `row_length` is that of a row: seq_length + 1 for training, seq_length for evaluation. `pad_share` is
    0 to 1. `trained_tokens` counts labels that are not ignored, `masked` rows with nothing to learn, `duplicates`
    records that say what one before them said, `turns_left_out` first turns (system ones, mostly) that the template has
    no place for, `rejected` records that could not be used at all, the first because of `rejected_reason`. `largest_id`
    is the largest token id. `packed_rows`: what the rows make when they are packed; only a sample tells.
    `end` is what ends an answer, and where the model's folder stops (`TaughtEnd`); None where it was not asked.
    `remarks`, by kind and name: of how many records fields are not read ("unread"), or read in a way to know of.
    """

    path: str
    kind: str
    seq_length: int
    row_length: int
    rows: int
    tokens: int
    tokens_p50: int
    tokens_p95: int
    tokens_max: int
    trained_tokens: int
    pad_share: float
    cut: Optional[int]
    masked: int
    masked_reasons: Dict[str, int]
    empty_outputs: int
    duplicates: Optional[int]
    turns_left_out: int
    rejected: int
    largest_id: int
    histogram: Tuple[Bar, ...]
    suggestions: Tuple[Suggestion, ...]
    cut_examples: Tuple[MaskedExample, ...]
    masked_examples: Tuple[MaskedExample, ...]
    packed_rows: Optional[int] = None
    rejected_reason: str = ""
    end: Optional[TaughtEnd] = None
    remarks: Dict[str, Dict[str, int]] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> Dict[str, object]:
        """The report as a JSON object."""
        return {**asdict(self), "end": self.end.to_json() if self.end else None}


def parse_audit(data: Dict[str, Any]) -> AuditReport:
    """A report from its JSON object; raises ValueError, TypeError or KeyError for another one."""
    if data["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another version")
    lists = {
        "histogram": tuple(Bar(**item) for item in data["histogram"]),
        "suggestions": tuple(Suggestion(**item) for item in data["suggestions"]),
        "cut_examples": tuple(MaskedExample(**item) for item in data["cut_examples"]),
        "masked_examples": tuple(MaskedExample(**item) for item in data["masked_examples"]),
    }
    return AuditReport(**{**data, **lists, "end": parse_taught_end(data.get("end"))})


class Tally:
    """Gathers rows as they come."""

    def __init__(self, row_length: int) -> None:
        self.row_length = row_length
        self.lengths = array("i")  # before cutting, or as stored
        self.fingerprints = array("Q")
        self.used = self.trained = self.cut = self.left_out = self.rejected = 0
        self.largest_id = -1
        self.reasons: Dict[str, int] = {}
        self.cut_examples: List[MaskedExample] = []
        self.masked_examples: List[MaskedExample] = []
        self.remarks = RemarkCounts()
        self.rejected_reason = ""

    @property
    def rows(self) -> int:
        """Rows so far."""
        return len(self.lengths)

    @property
    def masked(self) -> int:
        """Rows so far that have nothing to learn."""
        return sum(self.reasons.values())

    def add_batch(self, batch: EncodedBatch) -> None:
        """Count the rows of a batch."""
        import numpy as np

        self.lengths.frombytes(batch.tokens.tobytes())
        self.fingerprints.frombytes(batch.fingerprints.tobytes())
        # shifted, the last token of a full row is a label only
        self.used += int(np.minimum(batch.lengths, self.row_length).sum())
        self.trained += int(batch.trained.sum())
        self.cut += int(batch.cut.sum())
        self.left_out += int(batch.left_out.sum())
        self.largest_id = max(self.largest_id, batch.largest_id)
        self.remarks.merge(batch.remarks)
        for place in np.flatnonzero(batch.cut | (batch.reasons > 0)).tolist():
            tokens, name = int(batch.tokens[place]), REASON_NAMES[batch.reasons[place]]
            if batch.cut[place] and len(self.cut_examples) < MAX_EXAMPLES:
                reason = f"{tokens} tokens are more than {self.row_length}"
                self.cut_examples.append(MaskedExample(batch.ids[place], reason, tokens))
            if name:
                self.mask(name, MaskedExample(batch.ids[place], REASONS[name], tokens))

    def add_row(self, tokens: int, trained: int, largest_id: int) -> None:
        """Count one row that is stored already: so many tokens that are not padding."""
        self.lengths.append(tokens)
        self.used += tokens
        self.trained += trained
        self.largest_id = max(self.largest_id, largest_id)

    def mask(self, reason: str, finding: MaskedExample) -> None:
        """Count one row as having nothing to learn."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.masked_examples) < MAX_EXAMPLES:
            self.masked_examples.append(finding)

    def report(self, path: str, kind: str, seq_length: int) -> AuditReport:
        """What was gathered; raises InvalidInputError when that is nothing."""
        import numpy as np

        if not self.lengths:
            raise InvalidInputError(f"{path} holds no row.", "Give a file with at least one record.")
        lengths = np.sort(np.frombuffer(self.lengths, dtype=np.int32))
        fingerprints = np.frombuffer(self.fingerprints, dtype=np.uint64)
        known = kind == "conversations"
        return AuditReport(
            path=path,
            kind=kind,
            seq_length=seq_length,
            row_length=self.row_length,
            rows=len(lengths),
            tokens=int(lengths.sum(dtype=np.int64)),
            tokens_p50=percentile(lengths, 0.5),
            tokens_p95=percentile(lengths, 0.95),
            tokens_max=int(lengths[-1]),
            trained_tokens=self.trained,
            pad_share=1.0 - self.used / (len(lengths) * self.row_length),
            cut=self.cut if known else None,
            masked=self.masked,
            masked_reasons=dict(self.reasons),
            empty_outputs=self.reasons.get("empty_answer", 0),
            duplicates=len(fingerprints) - len(np.unique(fingerprints)) if known else None,
            turns_left_out=self.left_out,
            rejected=self.rejected,
            largest_id=self.largest_id,
            histogram=build_histogram(lengths),
            suggestions=suggest_lengths(lengths, self.row_length - seq_length) if known else (),
            cut_examples=tuple(self.cut_examples),
            masked_examples=tuple(self.masked_examples),
            rejected_reason=self.rejected_reason,
            remarks=self.remarks.to_json(),
        )


def percentile(ordered: npt.NDArray[np.int32], share: float) -> int:
    """The smallest value that `share` of all do not exceed (nearest rank)."""
    return int(ordered[max(0, -int(-len(ordered) * share // 1) - 1)])


def build_histogram(ordered: npt.NDArray[np.int32]) -> Tuple[Bar, ...]:
    """The bars from the shortest row to the longest; bars between them may be empty."""
    import numpy as np

    below = np.searchsorted(ordered, BARS, side="right")
    counts = np.diff(below, prepend=0).tolist()
    used = [place for place, count in enumerate(counts) if count]
    return tuple(Bar(BARS[place], counts[place]) for place in range(used[0], used[-1] + 1))


def suggest_lengths(ordered: npt.NDArray[np.int32], more: int) -> Tuple[Suggestion, ...]:
    """A seq_length for each of COVERED; a row holds `more` tokens than seq_length."""
    import numpy as np

    found = []
    for covered in COVERED:
        wanted = max(1, percentile(ordered, covered) - more)
        seq_length = -(-wanted // ROUND_TO) * ROUND_TO
        row_length = seq_length + more
        used = np.minimum(ordered, row_length).sum(dtype=np.int64)
        found.append(Suggestion(covered, seq_length, 1.0 - float(used) / (len(ordered) * row_length)))
    return tuple(found)
