"""Time to encode an alpaca file with vicuna_v1.1, against sentencepiece alone over the same texts; one thread each.

    python -m tests.benchmarks.encode ALPACA.json TOKENIZER.model [--runs 5] [--template NAME]

sentencepiece encodes each conversation's text, and its question once more to know where the answer begins, as
MindFormers does. "first" is with no word known yet, "again" when all are: a large file lies in between.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Callable

import sentencepiece

from sft_tui.dataset.encode import llama_preprocess as reference
from sft_tui.dataset.encode.encoder import BATCH, Encoder
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.sources import read_records
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE
from sft_tui.dataset.tokenizer.load import load_tokenizer


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alpaca", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--template", default=DEFAULT_TEMPLATE)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    conversations = [r for r in read_records(arguments.alpaca) if isinstance(r, Conversation)]
    rounds = [item for c in conversations for item in reference.split_rounds(reference.build_prompt(c))]
    texts = [text for item in rounds for text in (item.text, item.text[: item.place])]
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(arguments.tokenizer))
    alone, first, again = [], [], []
    for _ in range(arguments.runs):
        encoder = Encoder(load_tokenizer(arguments.tokenizer, threads=1), arguments.template, 4097)

        def encode(encoder: Encoder = encoder) -> None:
            for start in range(0, len(conversations), BATCH):
                encoder.encode(conversations[start : start + BATCH])

        alone.append(seconds(lambda: processor.encode(texts, num_threads=1)))
        first.append(seconds(encode))
        again.append(seconds(encode))
    bare = statistics.median(alone)
    print(f"{len(conversations)} conversations, {arguments.template}, median of {arguments.runs} runs")
    for name, values in (("sentencepiece", alone), ("first", first), ("again", again)):
        value = statistics.median(values)
        print(
            f"{name:14} {value:.3f} s  {len(conversations) / value:8.0f} a second  {bare / value:5.2f} x sentencepiece"
        )


if __name__ == "__main__":
    main()
