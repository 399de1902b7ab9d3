"""Logs: lines of trainings, damaged at random, and files that become something else while they are followed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sft_tui.core.plan import Step
from sft_tui.diagnosis.first_error import first_error
from sft_tui.diagnosis.read_logs import read_files
from sft_tui.jobs.step_watch import StepWatch
from sft_tui.logs.merge import MergedPages
from sft_tui.metrics.points import decode_row, encode_row
from tests.benchmarks.attack.frame import Frame

LINES = [
    "Epoch:[  1/  1], step:[    1/   32], loss:[2.500/1.0], per_step_time: 5ms, lr: 0.001, global_norm: [1.0]",
    "progress: a 1/9 bytes", "held-out loss: 1.0, perplexity: 2.7, 10 tokens",
    "Network parameters are not loaded: (['a'], [])", "Eval result: {'loss': 1.0}, eval time is 1.0 s",
    "sft-tui nodes: 1 of 2 ranks", "Traceback (most recent call last):", "ValueError: wrong", "......Saving ckpt......",
]  # fmt: skip
PIECES = [
    "9" * 400,
    "9" * 5000,
    "nan",
    "-inf",
    "1e999",
    "\x00",
    "\x1b]52;c;x\x07",
    "\r",
    "٣",
    "²",
    "[" * 2000,
    "中",
    "",
]
SOUND = LINES[0].replace("    1/", "   31/")
TURN_SECONDS = 1.0


def attack(frame: Frame) -> None:
    step = Step(id="s", title="S", argv=("x",), cwd="/")
    for number in range(frame.rounds):
        log = frame.folder / f"log{number}"
        log.write_bytes(_damaged(frame))
        watch = StepWatch(step, log)
        with frame.trial("damaged lines cost themselves", within=10 * TURN_SECONDS):
            rows = _read(watch)
            with log.open("a") as file:
                file.write(f"\n{SOUND}\n")
            rows += _read(watch)
            assert any(row.step == 31 for row in rows)
            assert all(decode_row(encode_row(row)) is not None for row in rows)
        with frame.trial("a page of them", within=TURN_SECONDS):
            MergedPages([log]).before((log.stat().st_size,), 100)
        with frame.trial("their first error", within=5 * TURN_SECONDS):
            first_error([log])
            read_files([log], log.parent, any_name=True)
        with frame.trial("a file that becomes another thing", within=TURN_SECONDS):
            log.unlink()
            frame.chance.choice([os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])(log)
            watch.read()
            StepWatch(step, log).read(ended=True)
            first_error([log])
            MergedPages([log]).end()
        watch.close()
        log.rmdir() if log.is_dir() and not log.is_symlink() else log.unlink()
    _flood(frame, step)


def _read(watch: StepWatch) -> list:
    rows, more = [], True
    while more:
        begun = time.monotonic()
        news = watch.read()
        assert time.monotonic() - begun < TURN_SECONDS, "a turn is bounded"
        rows += [row for row in news.rows if hasattr(row, "per_step_ms")]
        more = news.more
    return rows


def _damaged(frame: Frame) -> bytes:
    lines = []
    for _ in range(frame.chance.randrange(1, 200)):
        line = frame.chance.choice(LINES)
        for _ in range(frame.chance.randrange(3)):
            at = frame.chance.randrange(len(line))
            line = line[:at] + frame.chance.choice(PIECES) + line[at + frame.chance.randrange(4) :]
        lines.append(line.encode("utf-8", "surrogatepass"))
    return frame.chance.choice([b"\n", b"\r\n"]).join(lines)


def _flood(frame: Frame, step: Step) -> None:
    log = frame.folder / "flood"
    for line in ("noise", LINES[1], LINES[0]):
        with log.open("w") as file:
            for _ in range(120):
                file.write(f"{line}\n" * (10**6 // (len(line) + 1)))
        watch = StepWatch(step, log)
        with frame.trial(f"one turn of 120 MB of {line.split()[0]!r}", within=TURN_SECONDS):
            watch.read(ended=True)
        with frame.trial(f"the first error in 120 MB of {line.split()[0]!r}", within=5.0):
            first_error([log])
        watch.close()
    log.unlink()
