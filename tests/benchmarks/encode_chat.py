"""Time to encode conversations with the chat template of a folder, against `tokenizers` alone over the same texts.

    python -m tests.benchmarks.encode_chat CONVERSATIONS.json HF_DIR [--runs 5]

`encode_batch` uses all cores; so does the audit, in processes. Each run is a process of its own, so that none finds
threads or words that another left. Processor time is told as well: on a machine where others work, it is what can be
compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Callable

from tokenizers import Tokenizer

from sft_tui.dataset.encode.by_chat_template import ChatEncoder
from sft_tui.dataset.encode.encoder import BATCH, Encoder
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.sources import read_records
from sft_tui.dataset.run_audit import audit
from sft_tui.dataset.tokenizer.load import load_tokenizer


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processors, children included; in a process of its own."""
    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    process = fork.Process(target=_time, args=(work, send))
    process.start()
    send.close()
    clock, processors = receive.recv()
    process.join()
    return clock, processors


def _time(work: Callable[[], object], send: Connection) -> None:
    clock, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    send.send((time.perf_counter() - clock, sum(after[:4]) - sum(before[:4])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations", type=Path)
    parser.add_argument("hf_dir", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    file = arguments.hf_dir / "tokenizer.json"
    records = [r for r in read_records(arguments.conversations) if isinstance(r, Conversation)]
    encoder = Encoder(load_tokenizer(file, threads=1), "chat", 4097)
    chat = ChatEncoder(encoder.tokenizer, 4097)
    texts = [chat.write(record).prompt.text for record in records]
    alone = Tokenizer.from_file(str(file))
    works: dict[str, Callable[[], object]] = {
        "audit": lambda: audit(arguments.conversations, file, 4096, template="chat"),
        "encode": lambda: [encoder.encode(records[at : at + BATCH]) for at in range(0, len(records), BATCH)],
        "encode_batch": lambda: alone.encode_batch(texts, add_special_tokens=False),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(arguments.runs):  # in turn: others on the machine slow down all alike
        for name, work in works.items():
            found[name].append(seconds(work))
    middle = {name: [statistics.median(times) for times in zip(*runs)] for name, runs in found.items()}
    print(f"{len(records)} conversations, median of {arguments.runs} runs")
    alone_clock, alone_processor = middle["encode_batch"]
    for name, (clock, processor) in middle.items():
        ratios = alone_clock / clock, alone_processor / processor
        print(f"{name:14} {clock:6.2f} s ({ratios[0]:4.2f})   processors {processor:6.2f} s ({ratios[1]:4.2f})")


if __name__ == "__main__":
    main()
