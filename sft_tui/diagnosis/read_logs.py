"""Reads a folder of logs for what speaks of a failure: in blocks, each file once, nothing but regular files opened."""

from __future__ import annotations

import math
import os
import re
import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

from sft_tui.diagnosis.findings import MAX_TEXT, LogScan
from sft_tui.diagnosis.rules.tables import Sieve
from sft_tui.errors import InvalidInputError
from sft_tui.logs.stamp import LogStamp, read_stamp

BLOCK = 1 << 20
MAX_FILES = 20_000
MAX_REST = 1 << 16  # of a line that goes on over blocks
_LOOK_BACK = 300  # lines in which the stamp of an unstamped line is looked for
_QUIET = (b"[INFO]", b"[DEBUG]", b"[TRACE]", b"[EVENT]")
_PACKED = (".gz", ".zip", ".tar", ".tgz", ".xz", ".bz2", ".zst", ".7z")
_NO_LOGS = (
    ".py", ".pyc", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".md", ".rst", ".html", ".sh", ".ir",
    ".csv", ".c", ".cc", ".cpp", ".h", ".o", ".so", ".ckpt", ".safetensors", ".bin", ".mindrecord", ".db", ".npy",
    ".pb", ".tsv", ".xml", ".svg",
)  # fmt: skip
_STEPS = (b"per_step_time", b"{'loss': ")  # MindFormers, Transformers
_STEPS_LOOKED_AT = 3
_LOSS = re.compile(rb"\bloss['\"]?[:=]\s*\[?\s*nan\b")
_ONE_DIGIT = bytes.maketrans(b"123456789", b"000000000")
_MAX_SHAPE = 512
_MAX_SHAPES = 50_000
_PID_OF_RANK = re.compile(rb"\((\d{1,10}),[^)\n]{1,60}\):[^\n]{0,300}This node \d+ rank id: (\d{1,6})")
_RANK = re.compile(rb"rankNum\[\d+\], rank\[(\d{1,6})\]")


@dataclass
class Evidence:
    """What was read, and what was left out and why."""

    logs: list[LogScan] = field(default_factory=list)
    files: int = 0
    size: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> files
    examples: dict[str, str] = field(default_factory=dict)  # reason -> one of them
    out_of_time: bool = False

    def leave_out(self, reason: str, name: str) -> None:
        """Note a file that was not read."""
        self.left_out[reason] += 1
        self.examples.setdefault(reason, name)

    def notes(self) -> list[str]:
        """What a person should know of what was not read."""
        notes = [
            f"not read: {name} ({reason})" if count == 1 else f"not read: {count} files, {name} among them ({reason})"
            for reason, count in sorted(self.left_out.items())
            for name in [self.examples[reason]]
        ]
        return [*notes, "time was up before all was read"] if self.out_of_time else notes


def read_logs(path: Path) -> Evidence:
    """All logs below a folder, or one file. Raises InvalidInputError where there is nothing to read."""
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error.strerror}.", "Give a folder of logs or a file."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        try:
            os.scandir(path).close()
        except OSError as error:
            raise InvalidInputError(
                f"{path} cannot be read: {error.strerror}.", "Look at its owner and mode."
            ) from error
        return read_files(_walk(path), path)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(f"{path} is neither a folder nor a file.", "Give a folder of logs or a file.")
    evidence = read_files([path], path.parent, any_name=True)
    if reason := next((r for r in evidence.left_out), ""):
        raise InvalidInputError(f"{path} was not read: {reason}.", "Give a folder of logs, or a log as text.")
    return evidence


def read_files(
    paths: Sequence[Path] | Iterator[Path], top: Path, *, any_name: bool = False, seconds: Optional[float] = None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> Evidence:  # fmt: skip
    """The given files, named from `top` on. `any_name`: also what is no log by its name; `seconds`: stop then."""
    evidence, seen = Evidence(), set[tuple[int, int]]()
    end = math.inf if seconds is None else time.monotonic() + seconds

    def is_over() -> bool:
        return time.monotonic() > end or is_given_up()

    for path in paths:
        name = str(path.relative_to(top)) if path.is_relative_to(top) else str(path)
        if evidence.out_of_time or is_over():
            evidence.out_of_time = True
            break
        if evidence.files >= MAX_FILES:
            evidence.leave_out(f"more than {MAX_FILES} files", name)
            continue
        if path.suffix.lower() in _PACKED:
            evidence.leave_out("packed: unpack it first", name)
        elif path.suffix.lower() in _NO_LOGS and not any_name:
            evidence.leave_out("no log by its name", name)
        else:
            _read_file(path, name, evidence, seen, is_over)
    return evidence


def _walk(top: Path) -> Iterator[Path]:
    """Everything below a folder that is no folder, in the order of names; links to folders are not followed."""
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield folder  # said when it cannot be opened
            continue
        folders = []
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                yield Path(entry.path)
        pending += reversed(folders)


def _read_file(
    path: Path, name: str, evidence: Evidence, seen: set[tuple[int, int]], is_over: Callable[[], bool]
) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            reason = (
                "a folder that cannot be read or a link to one" if stat.S_ISDIR(status.st_mode) else "no regular file"
            )
            evidence.leave_out(reason, name)
            return
        # what has become a FIFO since then does not make us wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        evidence.leave_out((error.strerror or "it cannot be opened").lower(), name)
        return
    try:
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or key in seen:
            return
        seen.add(key)
        head = os.pread(descriptor, 4096, 0)
        if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")):
            evidence.leave_out("packed: unpack it first", name)
            return
        if b"\x00" in head:
            evidence.leave_out("not text", name)
            return
        scan = LogScan(name)
        evidence.files += 1
        evidence.logs.append(scan)
        evidence.size += _scan(descriptor, scan, is_over, evidence)
        scan.finish()
    except OSError as error:
        evidence.leave_out((error.strerror or "it cannot be read").lower(), name)
    finally:
        os.close(descriptor)


def _scan(descriptor: int, scan: LogScan, is_over: Callable[[], bool], evidence: Evidence) -> int:
    number, size, rest = 0, 0, b""
    before: list[bytes] = []
    harmless: set[bytes] = set()
    sieve = Sieve()
    while block := os.read(descriptor, BLOCK):
        size += len(block)
        whole, newline, rest_of_block = (rest + block).rpartition(b"\n")
        if newline:
            number += _scan_lines(whole, number, before, scan, harmless, sieve)
        rest = rest_of_block[:MAX_REST]
        if is_over():
            evidence.out_of_time = True
            return size
    if rest:
        _scan_lines(rest, number, before, scan, harmless, sieve)
    return size


def _scan_lines(
    whole: bytes, number: int, before: list[bytes], scan: LogScan, harmless: set[bytes], sieve: Sieve
) -> int:
    """Look at whole lines, `number` of which stand before them in the file, the last ones in `before`; how many."""
    lines = whole.split(b"\n")
    loud = [i for i, line in enumerate(lines) if not (line.startswith(_QUIET) or b" - INFO - " in line)]
    for i in loud:
        line = lines[i]
        # most lines of a log are like many before them but for their numbers
        shape = line.translate(_ONE_DIGIT) if len(line) <= _MAX_SHAPE else b""
        if shape and shape in harmless:
            continue
        for part in line.rstrip(b"\r").split(b"\r") if b"\r" in line else (line,):
            if sieve.holds(part):
                scan.take(number + i + 1, _decode(part), _StampBefore(lines, i, before))
                shape = b""
        if shape and len(harmless) < _MAX_SHAPES:
            harmless.add(shape)
    _scan_training(whole, lines, number, scan)
    before[:] = [*before, *lines[-_LOOK_BACK:]][-_LOOK_BACK:]
    return len(lines)


def _scan_training(whole: bytes, lines: list[bytes], number: int, scan: LogScan) -> None:
    """How the training did, from the last lines of it; and what was loaded, and by which rank."""
    if b"not loaded: ([" in whole:
        for i, line in enumerate(lines):
            if b"not loaded: ([" in line:
                scan.take_weights(number + i + 1, line.decode("utf-8", errors="replace"))
    if b" rank id: " in whole:
        scan.ranks_by_pid.update((int(match[1]), int(match[2])) for match in _PID_OF_RANK.finditer(whole))
    if scan.rank is None and "plog" in scan.file and (match := _RANK.search(whole)):
        scan.rank = int(match[1])
    if b"nan" in whole:
        for i, line in enumerate(lines):
            if b"nan" in line and _LOSS.search(line):
                scan.take_loss(number + i + 1, _decode(line))
    for i in _last_steps(whole, len(lines) - 1):
        if b"nan" not in lines[i]:
            scan.take_progress(number + i + 1)


def _last_steps(whole: bytes, last: int) -> list[int]:
    """The last lines with a step of training, by their place, `last` being that of the last line; few are enough."""
    word = next((word for word in _STEPS if word in whole), b"")
    places: list[int] = []
    at = len(whole)
    while word and len(places) < _STEPS_LOOKED_AT and (at := whole.rfind(word, 0, at)) >= 0:
        places.append(last - whole.count(b"\n", at))
    return places[::-1]


class _StampBefore:
    """The stamp of the nearest line before one that has a time."""

    def __init__(self, lines: list[bytes], at: int, before: list[bytes]) -> None:
        self._lines, self._at, self._before = lines, at, before

    def __call__(self) -> LogStamp:
        near = self._lines[max(0, self._at - _LOOK_BACK) : self._at]
        for line in (*reversed(near), *reversed(self._before[-max(0, _LOOK_BACK - len(near)) :])):
            stamp = read_stamp(_decode(line[:300]))
            if stamp.time is not None:
                return stamp
        return LogStamp()


def _decode(line: bytes) -> str:
    return line[: MAX_TEXT * 4].decode("utf-8", errors="replace")
