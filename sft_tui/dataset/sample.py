"""A look at the first records as training will see them, before any file is written."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sft_tui.dataset.conversation import build_conversation
from sft_tui.dataset.encode import encode_conversations
from sft_tui.dataset.records import read_alpaca
from sft_tui.dataset.tokenizer import load_tokenizer

SAMPLE_RECORDS = 200


@dataclass(frozen=True)
class SampleReport:
    """Of `rows` records looked at, how many are cut, and how many have nothing left to learn."""

    rows: int
    cut: int
    masked: int


def encode_sample(path: Path, model_file: Path, template: str, seq_length: int) -> SampleReport:
    """Encode the first records of an alpaca file. Raises InvalidInputError."""
    tokenizer = load_tokenizer(model_file)
    conversations = map(build_conversation, islice(read_alpaca(path), SAMPLE_RECORDS))
    rows = cut = masked = 0
    for row in encode_conversations(conversations, tokenizer, template, seq_length, source=path):
        rows += 1
        cut += row.cut
        masked += row.masked
    return SampleReport(rows, cut, masked)
