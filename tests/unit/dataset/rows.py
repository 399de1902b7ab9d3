"""Conversations and rows one by one, as tests want them: what cannot be used is raised."""

from __future__ import annotations

from itertools import islice

import numpy as np

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.encode.encoder import BATCH, Encoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import parse_conversation
from sft_tui.dataset.read.items import read_items


def _good(entries):
    for entry in entries:
        if isinstance(entry, BadRecord):
            raise entry.error()
        yield entry


def read_conversations(path):
    """The conversations of a file that has them as they are."""
    return _good(parse_conversation(path, number, item) for number, item in read_items(path))


def encode_conversations(conversations, tokenizer, template, seq_length):
    """A row for each, in batches as the pipeline makes them."""
    encoder = Encoder(tokenizer, template, seq_length + 1)
    waiting = iter(conversations)
    while batch := list(islice(waiting, BATCH)):
        yield from _good(encoder.encode(batch))


def encode_conversation(conversation, tokenizer, template, seq_length):
    """The row of one."""
    [row] = encode_conversations([conversation], tokenizer, template, seq_length)
    return row


def padded(row, length, pad_id):
    """`input_ids` and `labels` filled up, row by row: what `padded_rows` does for a batch at once."""
    more = length - len(row.input_ids)
    filled = ((row.input_ids, pad_id), (row.labels, IGNORE_TOKEN_ID))
    return tuple(np.concatenate([values, np.full(more, empty, dtype=np.int32)]) for values, empty in filled)
