"""What `sft-tui preprocess` takes, in time and memory, against MindFormers' llama_preprocess.py.

    python -m tests.benchmarks.preprocess SAMPLE [--times 1 10 52 500] [--seq_length 4096] [--reference DIR]
                                          [--python PYTHON] [--folder DIR]

SAMPLE is an alpaca file (999 records: the alpaca_en_demo.json that LLaMA-Factory ships); it is repeated so many times.
A tokenizer of 32,000 pieces is made of its text, with Llama's settings. Timed is the whole command, from its start to
its end, MindSpore's import included. Memory is the peak of the proportional set sizes (PSS) of all its processes
together, looked at ten times a second. `--reference` is the folder of MindFormers' source that holds
llama_preprocess.py: it does the same work with the same interpreter for 52 times the sample, and the rows of both are
compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List

import psutil

ROOT = Path(__file__).parents[2]
COMPARED = 52
PIECES = 32_000
SAME = """
import sys
import numpy as np
from sft_tui.dataset.mindrecord.file import read_rows
from pathlib import Path
def rows(path):
    return sorted((row["input_ids"].tobytes(), row["labels"].tobytes()) for row in read_rows(Path(path)))
ours, theirs = map(rows, sys.argv[1:])
print(len(ours), len(theirs), ours == theirs)
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of a command, and the peak memory of all its processes in bytes."""

    seconds: float
    peak: int


def measure(command: List[str], **options: object) -> Measured:
    """Run a command to its end; what it prints is shown only when it fails."""
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, **options)  # type: ignore[call-overload]
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.1)
        seconds = time.monotonic() - started
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{command} failed:\n{log.read()[-4000:].decode(errors='replace')}")
    return Measured(seconds, peak)


def memory_of(pid: int) -> int:
    """PSS of a process and of all below it."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except (psutil.Error, OSError):
        pass  # one has just ended
    return total


def make_tokenizer(sample: Path, folder: Path) -> Path:
    """A sentencepiece BPE model with Llama's settings."""
    import sentencepiece

    text = folder / "text.txt"
    records = json.loads(sample.read_text(encoding="utf-8"))
    text.write_text("\n".join(value for record in records for value in record.values()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), vocab_size=PIECES, model_type="bpe",
        byte_fallback=True, split_digits=True, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    return folder / "tokenizer.model"


def make_conversations(sample: Path, times: int, folder: Path) -> Path:
    records = json.loads(sample.read_text(encoding="utf-8")) * times
    alpaca, output = folder / "alpaca.json", folder / f"conversations_{times}.json"
    alpaca.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    convert = ["convert-alpaca", "--data_path", str(alpaca), "--output_path", str(output)]
    subprocess.run([sys.executable, "-m", "sft_tui", *convert], cwd=ROOT, check=True, capture_output=True)
    alpaca.unlink()
    return output


def flags(conversations: Path, model: Path, seq_length: int, output: Path) -> List[str]:
    return [
        "--dataset_type", "qa", "--input_glob", str(conversations), "--model_file", str(model),
        "--seq_length", str(seq_length), "--output_file", str(output),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 52, 500])
    parser.add_argument("--seq_length", type=int, default=4096)
    parser.add_argument("--reference", type=Path, default=None, metavar="DIR")
    parser.add_argument("--python", default=sys.executable, help="with MindSpore, and MindFormers for the reference")
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    arguments = parser.parse_args()
    print(f"seq_length {arguments.seq_length}\n\n| records | seconds | records/s | peak memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        model = make_tokenizer(arguments.sample, folder)
        for times in arguments.times:
            conversations = make_conversations(arguments.sample, times, folder)
            count = times * len(json.loads(arguments.sample.read_text(encoding="utf-8")))
            output = folder / "ours.mindrecord"
            work = flags(conversations, model, arguments.seq_length, output)
            mine = measure([arguments.python, "-m", "sft_tui", "preprocess", "--max_masked", "1", *work])
            print(
                f"| {count:,} | {mine.seconds:.1f} | {count / mine.seconds:,.0f} | {mine.peak / 1e6:.0f} MB |",
                flush=True,
            )
            if arguments.reference and times == COMPARED:
                compare(arguments, conversations, model, mine, output)
            for old in folder.glob("ours*"):
                old.unlink()
            conversations.unlink()


def compare(arguments: argparse.Namespace, conversations: Path, model: Path, mine: Measured, output: Path) -> None:
    """Let the reference do the same, and compare times, memory and rows."""
    theirs = output.with_name("theirs.mindrecord")
    work = flags(conversations, model, arguments.seq_length, theirs)
    other = measure([arguments.python, str(arguments.reference / "llama_preprocess.py"), *work])
    print(
        f"\nMindFormers' llama_preprocess.py: {other.seconds:.1f} s, {other.peak / 1e6:,.0f} MB; sft-tui is "
        f"{other.seconds / mine.seconds:.1f} times as fast, with {other.peak / mine.peak:.1f} times less memory"
    )
    same = subprocess.run(
        [arguments.python, "-c", SAME, str(output), str(theirs)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    print(f"rows of ours, of theirs, the same: {same.stdout.splitlines()[-1]}\n", flush=True)
    for old in output.parent.glob("theirs*"):
        old.unlink()


if __name__ == "__main__":
    main()
