"""Encodes single samples as training will see them, before any file is written."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Deque, Dict, List, Optional, Tuple

from sft_tui.dataset.audit.report import AuditReport, Tally
from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, REASONS, EncodedRow
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.encode.packing import Packer
from sft_tui.dataset.encode.pipeline import Encoding, encode_few
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.sources import read_records
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.template.taught_end import find_taught_end
from sft_tui.dataset.tokenizer.load import Tokenizer, load_tokenizer
from sft_tui.errors import InvalidInputError

SAMPLE_RECORDS = 200
KEPT_RECORDS = 100
# a row that nothing is cut from
_UNCUT = 2**24


@dataclass(frozen=True)
class Span:
    """A stretch of text that is learned or not; `beyond`: it does not fit into the row."""

    text: str
    trained: bool
    beyond: bool


@dataclass(frozen=True)
class RecordView:
    """One record as the model sees it. `tokens` before cutting; `masked_reason` is a sentence, or "".

    Of plain text it is a passage, which has no id and is not cut.
    """

    number: int
    id: str
    tokens: int
    row_length: int
    trained_tokens: int
    masked_reason: str
    spans: Tuple[Span, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"record {self.number} (id {self.id})" if self.id else f"passage {self.number}"

    def to_json(self) -> Dict[str, object]:
        """The view as a JSON object."""
        return asdict(self)


def audit_sample(
    path: Path,
    tokenizer: Tokenizer,
    template: str,
    seq_length: int,
    columns: Tuple[Tuple[str, str], ...] = (),
    model_dir: Optional[Path] = None,
) -> AuditReport:
    """Audit the first SAMPLE_RECORDS of a file, in this process; `model_dir`: see `find_taught_end`.

    Raises InvalidInputError.
    """
    tally = Tally(seq_length + 1)
    records = list(islice(read_records(path, dict(columns)), SAMPLE_RECORDS))
    task = Encoding((str(path),), str(tokenizer.path), template, tally.row_length)
    batch = encode_few(task, tokenizer, str(path), records)
    if batch.bad and not len(batch):
        raise batch.bad[0].error()
    tally.add_batch(batch)
    tally.rejected = len(batch.bad)
    if batch.bad:
        tally.rejected_reason = f"Record {batch.bad[0].number}: {batch.bad[0].reason}"
    return replace(
        tally.report(str(path), "conversations", seq_length),
        packed_rows=_count_packed(tally, seq_length),
        end=find_taught_end(tokenizer, template, model_dir),
    )


def _count_packed(tally: Tally, seq_length: int) -> int:
    import numpy as np

    packer, rows = Packer(seq_length), 0
    for tokens in tally.lengths:
        record = np.zeros(min(tokens, seq_length), np.int32)
        rows += len(packer.add(record, record))
    return rows + len(packer.finish())


def view_record(
    path: Path,
    model_file: Path,
    number: int,
    *,
    seq_length: int,
    template: str = DEFAULT_TEMPLATE,
    columns: Tuple[Tuple[str, str], ...] = (),
) -> RecordView:
    """Record `number` (from 1) of a file as training would see it. Raises InvalidInputError."""
    return RecordViewer(path, load_tokenizer(model_file), seq_length, template, columns).view(number)


class RecordViewer:
    """Shows records of a file, one after the other or back: the file is read on from where it stands.

    The newest KEPT_RECORDS are kept; one before those is read from the start of the file.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        seq_length: int,
        template: str = DEFAULT_TEMPLATE,
        columns: Tuple[Tuple[str, str], ...] = (),
    ) -> None:
        """Raises InvalidInputError for a template that cannot be used."""
        check_template(template, tokenizer)
        self._path, self._tokenizer, self._template, self._columns = path, tokenizer, template, columns
        self._seq_length = seq_length
        self._rewind()

    def view(self, number: int) -> RecordView:
        """Record `number`, from 1. Raises InvalidInputError where there is none."""
        record = self._find(number)
        if record is None:
            raise InvalidInputError(f"{self._path} has no record {number}.", "Numbers count from 1.")
        lengths = (self._seq_length + 1, _UNCUT)
        cut, whole = (_encode(record, self._tokenizer, self._template, length, self._path) for length in lengths)
        return RecordView(
            number,
            whole.id,
            whole.tokens,
            self._seq_length + 1,
            cut.trained_tokens,
            REASONS.get(cut.masked_reason, ""),
            tuple(_spans(whole, cut, self._tokenizer)),
        )

    def _rewind(self) -> None:
        self._records = read_records(self._path, dict(self._columns))
        self._kept: Deque[object] = deque(maxlen=KEPT_RECORDS)
        self._read = 0  # records that were read; the newest is the last that is kept

    def _find(self, number: int) -> object:
        if 0 < number <= self._read - len(self._kept):
            self._rewind()
        while self._read < number:
            try:
                record = next(self._records, None)
            except Exception:  # it is not read on from there: the next look meets the same
                self._rewind()
                raise
            if record is None:
                return None
            self._kept.append(record)
            self._read += 1
        return self._kept[number - self._read - 1] if number > 0 else None


def _encode(record: object, tokenizer: Tokenizer, template: str, length: int, path: Path) -> EncodedRow:
    if isinstance(record, Conversation):
        [record] = Encoder(tokenizer, template, length).encode([record], str(path))
    if isinstance(record, BadRecord):
        raise record.error()
    assert isinstance(record, EncodedRow)
    return record


def _spans(whole: EncodedRow, cut: EncodedRow, tokenizer: Tokenizer) -> List[Span]:
    """Cut where learning begins or ends, and where the row ends; each piece is what decoding up to there adds."""
    ids = whole.input_ids.tolist()
    learned = (cut.labels != IGNORE_TOKEN_ID).tolist()
    kinds = [(place < len(learned) and learned[place], place >= len(learned)) for place in range(len(ids))]
    spans: List[Span] = []
    shown, begin = "", 0
    last: Optional[Tuple[bool, bool]] = None
    for place, kind in enumerate([*kinds, None]):
        if kind != last and place:
            text = tokenizer.decode(ids[:place])
            trained, beyond = kinds[begin]
            spans.append(Span(text[len(shown) :], trained, beyond))
            shown, begin = text, place
        last = kind
    return spans
