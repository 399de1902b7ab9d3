"""Reads the passages of a plain text: what MindFormers' two scripts make of WikiText, or the text as it is."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Literal, Mapping, NamedTuple, Optional, Tuple
from typing import Counter as CounterType

from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.read.held_out import HeldOut
from sft_tui.dataset.text.text_file import find_text_file, read_lines
from sft_tui.dataset.text.wikitext import clean_wikitext
from sft_tui.errors import InvalidInputError

Layout = Literal["paragraphs", "passages"]
Clean = Literal["wikitext", "none"]
LAYOUTS = ("paragraphs", "passages")
CLEANINGS = ("wikitext", "none")
# what is left out, each with a number of its own
HEADINGS = "headings"
LAST_PASSAGE = "characters of the last passage"
BEHIND_TAB = "characters behind a tab"
BELOW_HEADING = "characters below a heading without an empty line between"
REST = "tokens at the end, too few for a row"
KEPT_ON_REQUEST = (LAST_PASSAGE, BEHIND_TAB, BELOW_HEADING, REST)
LeftOut = CounterType[str]
# the lines of a file, none longer than so many characters
Lines = Callable[[int], Iterator[str]]

# characters: no piece and no line is longer, where everything is kept
LONGEST = 2**20
_LONGEST_LINE = 2**25
# characters of WikiText that are cleaned together: WikiText-2 as a whole
BLOCK = 2**24
# a passage that may turn out to be the last one has to wait, as a whole
_LONGEST_WAITING = 2**26


@dataclass(frozen=True)
class TextReading:
    """How a plain text is read.

    `layout`: "paragraphs" as llama_preprocess has them, each between bos and eos; "passages" between two headings as
    wikitext2_data_process (GPT-2) has them, joined without such tokens. `clean`: "wikitext" undoes its spacing and
    leaves headings out; "none" takes the text as it is, a passage from one blank line to the next (a file without
    blank lines: every line). `keep_all`: what the scripts lose is kept, namely the last passage, what stands behind a
    tab, and the rest that fills no row.
    """

    layout: Layout = "paragraphs"
    clean: Clean = "wikitext"
    keep_all: bool = False


class Piece(NamedTuple):
    """A passage, or a part of a very long one. `before`: what parts it from the passage before it, without tokens of
    its own between them.
    """

    text: str
    begins: bool
    ends: bool
    before: str


@dataclass(frozen=True)
class Share:
    """Some of the passages: all but what is held out, or that alone (`evaluation`). None: all."""

    held_out: Optional[HeldOut] = None
    evaluation: bool = False


def text_columns(reading: TextReading, *, shifted: bool) -> Tuple[str, ...]:
    """Columns of the rows: as the script for the layout has them, and labels wherever some are needed."""
    if reading.layout == "passages":
        return ("input_ids", "attention_mask", "labels")
    return ("input_ids", "labels") if reading.keep_all or shifted else ("input_ids",)


def read_pieces(
    path: Path, reading: TextReading, left_out: LeftOut, progress: ProgressCallback = no_progress, head: int = 0
) -> Iterator[Piece]:
    """Yield the passages of a text file in order; `left_out` counts what is not among them.

    `head`: of its first bytes alone, so many, up to the end of a line; 0: of all. Memory stays flat. For that
    WikiText is cleaned in blocks: the script for Llama, which takes the file as a whole, pairs quotes and brackets
    over more than BLOCK characters too. Raises InvalidInputError for a file that is no text.
    """
    file = find_text_file(path)
    lines = functools.partial(read_lines, path, progress=progress, head=head)
    if reading.clean == "none":
        return _as_it_is(lines, by_lines=file.by_lines)
    if reading.layout == "passages":
        return _passages(path, lines, reading, left_out)
    return _paragraphs(lines, reading, left_out)


def choose(pieces: Iterator[Piece], share: Share) -> Iterator[Piece]:
    """Those pieces whose passage belongs to the share."""
    number = -1
    for piece in pieces:
        number += piece.begins
        if share.held_out is None or share.held_out.has(number) == share.evaluation:
            yield piece


def count_passages(path: Path, reading: TextReading) -> int:
    """How many passages a file has. Raises InvalidInputError."""
    return sum(piece.begins for piece in read_pieces(path, reading, Counter()))


def keepable(remarks: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether something of a text was left out that would be kept on request."""
    return any(name in KEPT_ON_REQUEST for name in remarks.get("left_out", {}))


def _as_it_is(lines: Lines, *, by_lines: bool) -> Iterator[Piece]:
    """From one blank line to the next; spaces and line ends within a passage stay."""
    before = "\n" if by_lines else "\n\n"
    held: List[str] = []
    size, begins = 0, True
    for line in lines(LONGEST):
        if not line.strip() and begins and not held:
            continue
        ends = (by_lines and line.endswith("\n")) or not line.strip()
        if line.strip():
            held.append(line)
            size += len(line)
        if ends or size >= LONGEST:
            text = "".join(held)
            yield Piece(text.rstrip("\n") if ends else text, begins, ends, before)
            held, size, begins = [], 0, ends
    if held or not begins:
        yield Piece("".join(held).rstrip("\n"), begins, True, before)


def _paragraphs(lines: Lines, reading: TextReading, left_out: LeftOut) -> Iterator[Piece]:
    """As llama_preprocess: cleaned together, parted at empty lines, without headings."""
    for block in _blocks(lines, BLOCK):
        for paragraph in clean_wikitext(block).split("\n\n"):
            if paragraph.strip().startswith("="):
                paragraph = _below_headings(paragraph, reading, left_out)
            yield from _cut(paragraph, LONGEST, "\n\n")


def _below_headings(paragraph: str, reading: TextReading, left_out: LeftOut) -> str:
    """What a paragraph says that begins with a heading; the script leaves out the whole of it."""
    lines = paragraph.strip().split("\n")
    rest = [line for line in lines if not _is_heading(line.strip())]
    left_out[HEADINGS] += len(lines) - len(rest)
    if rest and not reading.keep_all:
        left_out[BELOW_HEADING] += len("\n".join(rest))
    return "\n".join(rest) if reading.keep_all else ""


def _is_heading(line: str) -> bool:
    return line.startswith("=") and line.endswith("=")


def _blocks(lines: Lines, size: int) -> Iterator[str]:
    """The text in blocks of about `size` characters, which end with an empty line."""
    held: List[str] = []
    length = 0
    for line in lines(_LONGEST_LINE):
        held.append(line)
        length += len(line)
        if length >= size and (not line.strip() or length >= 2 * size):
            yield "".join(held)
            held, length = ["\n\n"], 0  # what follows begins behind an empty line
    yield "".join(held)


def _cut(text: str, longest: int, before: str) -> Iterator[Piece]:
    for at in range(0, len(text), longest):
        yield Piece(text[at : at + longest], at == 0, at + longest >= len(text), before)


def _passages(path: Path, lines: Lines, reading: TextReading, left_out: LeftOut) -> Iterator[Piece]:
    """As wikitext2_data_process: lines cleaned one by one, those between two headings joined by spaces.

    The script writes a passage when it meets the next heading, and so never the last one; of the whole text it takes
    what stands before the first tab. (Where there is exactly one tab it appends what follows to every row: not we.)
    """
    tab = False
    for piece in _between_headings(path, lines, reading, left_out):
        before, found, behind = piece.text.partition("\t")
        if reading.keep_all or not (tab or found):
            yield piece
            continue
        if not tab:
            yield piece._replace(text=before)
        left_out[BEHIND_TAB] += len(behind if not tab else piece.text)
        tab = True


def _between_headings(path: Path, lines: Lines, reading: TextReading, left_out: LeftOut) -> Iterator[Piece]:
    held: List[str] = []
    size, begins = 0, True
    for whole in lines(LONGEST if reading.keep_all else _LONGEST_LINE):
        line = whole.strip()
        if _is_heading(line):
            left_out[HEADINGS] += 1
            if held:
                yield _joined(held, begins, ends=True)
            held, size, begins = [], 0, True
        elif line:
            held.append(clean_wikitext(line, dots=True))
            size += len(held[-1])
            if reading.keep_all and size >= LONGEST:
                yield _joined(held, begins, ends=False)
                held, size, begins = [], 0, False
            elif size > _LONGEST_WAITING:
                raise InvalidInputError(
                    f"{path} has no heading of WikiText, `= Title =`, in {_LONGEST_WAITING} characters.",
                    "Use --clean none for a text of another kind, or --keep_all.",
                )
    if held and reading.keep_all:
        yield _joined(held, begins, ends=True)
    elif held:
        left_out[LAST_PASSAGE] += len(" ".join(held))


def _joined(lines: List[str], begins: bool, *, ends: bool) -> Piece:
    text = " ".join(lines)
    return Piece(text.strip() if begins else f" {text}".rstrip(), begins, ends, "\n")
