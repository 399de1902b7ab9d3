"""Turns plain text into rows of equal length, as MindFormers' llama_preprocess and wikitext2_data_process do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.text.passages import REST, LeftOut, Piece, TextReading
from sft_tui.dataset.tokenizer.load import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

_PIECES, _CHARACTERS = 256, 2**18  # of a batch for the tokenizer


def encode_pieces(pieces: Iterator[Piece], tokenizer: Tokenizer, reading: TextReading) -> Iterator[List[int]]:
    """Yield the ids of each piece, with what stands around it by the layout."""
    is_first = True
    for batch in _batches(pieces):
        if reading.layout == "passages":
            texts = [piece.before * piece.begins + piece.text for piece in batch]
            if is_first:
                texts[0] = batch[0].text
            yield from tokenizer.encode_many(texts)
        else:
            bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
            for piece, ids in zip(batch, tokenizer.encode_many([piece.text for piece in batch])):
                yield [*bos * piece.begins, *ids, *[tokenizer.eos_id] * piece.ends]
        is_first = False


def _batches(pieces: Iterator[Piece]) -> Iterator[List[Piece]]:
    batch: List[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text)
        if len(batch) == _PIECES or size >= _CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def cut_rows(
    encoded: Iterator[List[int]], length: int, left_out: LeftOut, *, shifted: bool = False, keep_all: bool = False
) -> Iterator[Ints]:
    """Yield one stretch of ids after the other, int32 (length,); passages run on from row to row.

    `shifted`: (length + 1,), the last id is the first of the next stretch, where a label is the id behind its place.
    `keep_all`: the last stretch may be shorter, 2 at least; else what does not fill a row is left out and counted.
    """
    import numpy as np

    waiting: List[int] = []
    width = length + shifted
    cut = False
    for ids in encoded:
        waiting += ids
        at = 0
        while at + width <= len(waiting):
            yield np.array(waiting[at : at + width], dtype=np.int32)
            at, cut = at + length, True
        del waiting[:at]
    if keep_all and len(waiting) > 1:
        yield np.array(waiting, dtype=np.int32)
    elif lost := len(waiting) - (shifted and cut):
        left_out[REST] += lost


def count_rows(tokens: int, length: int, *, shifted: bool = False, keep_all: bool = False) -> int:
    """How many rows `cut_rows` makes of so many tokens."""
    whole = max(0, tokens - shifted) // length
    return whole + (keep_all and tokens - whole * length > 1)


def text_row(ids: Ints, length: int, pad_id: int, *, shifted: bool = False) -> Dict[str, Ints]:
    """A stretch of ids as a row: `input_ids`, `attention_mask` (1, padding 0) and `labels`, int32 (length,).

    All that is no padding is trained on.
    """
    import numpy as np

    labels = ids[1:] if shifted else ids
    row = {
        "input_ids": np.full(length, pad_id, dtype=np.int32),
        "attention_mask": np.zeros(length, dtype=np.int32),
        "labels": np.full(length, IGNORE_TOKEN_ID, dtype=np.int32),
    }
    used = min(len(ids), length)
    row["input_ids"][:used] = ids[:used]
    row["attention_mask"][:used] = 1
    row["labels"][: len(labels)] = labels
    return row
