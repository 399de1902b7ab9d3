"""Looks at plain text before any file is written: its passages, and how many tokens and rows they make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

from sft_tui.dataset.audit.report import AuditReport, Tally
from sft_tui.dataset.audit.sample import RecordView, Span
from sft_tui.dataset.encode.plain_text import count_rows, cut_rows, encode_pieces
from sft_tui.dataset.read.held_out import HeldOut, count_held_out
from sft_tui.dataset.text.passages import LeftOut, Piece, Share, TextReading, choose, read_pieces
from sft_tui.dataset.text.text_file import check_whole, find_text_file
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import InvalidInputError

# so many bytes are encoded to know; of a longer text the beginning, and the rest by its size
HEAD = 2**22
# of the beginning that is shown
_SHOWN, _SHOWN_PIECES = 400, 4


@dataclass(frozen=True)
class TextReport:
    """What a file of plain text holds. `size` is in bytes; `by_lines`: every line is a passage; `wikitext`: it has the
    marks of WikiText. `passages` are counted as the text is, of a long one foretold.
    """

    path: str
    size: int
    passages: int
    by_lines: bool
    wikitext: bool

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.wikitext:
            return "plain text with the marks of WikiText"
        return f"plain text, {'every line' if self.by_lines else 'what stands between blank lines'} is a passage"


@dataclass(frozen=True)
class TextSample:
    """Passages and tokens of a text. `held_out` and `held_out_tokens` are those of the share that is not trained on.

    `counted`: of all of it; else foretold from its beginning. `left_out` is of
    what was read. `begins` is the beginning, as it is trained on.
    """

    passages: int
    held_out: int
    tokens: int
    held_out_tokens: int
    counted: bool
    left_out: Dict[str, int] = field(default_factory=dict)
    begins: str = ""

    def rows(self, length: int, *, shifted: bool, keep_all: bool, held_out: bool = False) -> int:
        """How many rows of `length` tokens there will be, to train on or held out."""
        tokens = self.held_out_tokens if held_out else self.tokens
        return count_rows(tokens, length, shifted=shifted, keep_all=keep_all)


def inspect_text(path: Path) -> TextReport:
    """Look through a whole file of plain text. Raises InvalidInputError for what is none."""
    found = find_text_file(path)
    check_whole(path)
    reading = TextReading(clean="none")
    passages = sum(piece.begins for piece in read_pieces(path, reading, Counter(), head=HEAD))
    scale = 1.0 if found.size <= HEAD else found.size / _bytes_read(path)
    return TextReport(str(path), found.size, round(passages * scale), found.by_lines, found.wikitext)


def sample_text(path: Path, tokenizer: Tokenizer, reading: TextReading, eval_fraction: float = 0.0) -> TextSample:
    """Count passages and tokens of a text, or foretell them. Raises InvalidInputError."""
    left_out: LeftOut = Counter()
    size = path.stat().st_size
    counted = size <= HEAD
    pieces = list(read_pieces(path, reading, left_out, head=0 if counted else HEAD))
    passages = sum(piece.begins for piece in pieces)
    held_out = count_held_out(passages, eval_fraction)
    tokens = [0, 0]
    for place, evaluation in enumerate((False, True)):
        share = Share(HeldOut(passages, held_out), evaluation) if held_out else Share()
        if evaluation and not held_out:
            break
        for ids in encode_pieces(choose(iter(pieces), share), tokenizer, reading):
            tokens[place] += len(ids)
    scale = 1.0
    if not counted:
        scale = size / _bytes_read(path)
        passages = round(passages * scale)
        held_out = count_held_out(passages, eval_fraction)
        total, part = sum(tokens), held_out / max(1, passages)
        tokens = [round(total * (1 - part)), round(total * part)]
    return TextSample(
        passages,
        held_out,
        round(tokens[0] * scale),
        round(tokens[1] * scale),
        counted,
        dict(left_out),
        "\n".join(piece.text[:_SHOWN] for piece in pieces[:_SHOWN_PIECES])[:_SHOWN],
    )


def _bytes_read(path: Path) -> int:
    """Up to the end of the last line that begins in the head."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    return head.rfind(b"\n") + 1 or len(head)


def audit_text(path: Path, tokenizer: Tokenizer, seq_length: int, reading: TextReading) -> AuditReport:
    """Audit the rows for training that a file of plain text makes. Raises InvalidInputError."""
    tally = Tally(seq_length + 1)
    left_out: LeftOut = Counter()
    encoded = encode_pieces(read_pieces(path, reading, left_out), tokenizer, reading)
    for ids in cut_rows(encoded, tally.row_length, left_out, keep_all=reading.keep_all):
        tally.add_row(len(ids), len(ids), int(ids.max()))
    if not tally.rows:
        raise InvalidInputError(*too_short(str(path), tally.row_length, left_out))
    tally.remarks.merge({("left_out", name): count for name, count in left_out.items()})
    return tally.report(str(path), "wiki", seq_length)


def too_short(path: str, length: int, left_out: LeftOut) -> Tuple[str, str]:
    """What is said of a text that makes no row, and what to do."""
    lost = ", ".join(f"{count:,} {name}" for name, count in left_out.items())
    return (
        f"{path} does not fill a single row of {length} tokens" + (f"; left out: {lost}." if lost else "."),
        "Give more text, or a smaller seq_length; --keep_all fills the row up with padding.",
    )


class PassageViewer:
    """Shows passages of a text as they are trained on, one after the other or back."""

    def __init__(self, path: Path, tokenizer: Tokenizer, seq_length: int, reading: TextReading) -> None:
        self._path, self._tokenizer, self._reading = path, tokenizer, reading
        self._seq_length = seq_length
        self._rewind()

    def view(self, number: int) -> RecordView:
        """Passage `number`, from 1; of a very long one its first part. Raises InvalidInputError where there is none."""
        if number <= self._read:
            self._rewind()
        piece: Optional[Piece] = None
        while self._read < number:
            piece = next(self._pieces, None)
            if piece is None:
                raise InvalidInputError(f"{self._path} has no passage {number}.", "Numbers count from 1.")
            self._read += piece.begins
        if piece is None:
            raise InvalidInputError(f"{self._path} has no passage {number}.", "Numbers count from 1.")
        [ids] = list(encode_pieces(iter([piece]), self._tokenizer, self._reading))
        text = self._tokenizer.decode(ids)
        # it runs on into the next row, so nothing of it is beyond
        length = max(self._seq_length + 1, len(ids))
        return RecordView(number, "", len(ids), length, len(ids), "", (Span(text, trained=True, beyond=False),))

    def _rewind(self) -> None:
        self._pieces: Iterator[Piece] = read_pieces(self._path, self._reading, Counter())
        self._read = 0
