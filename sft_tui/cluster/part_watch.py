"""Watches a node's part of a job, on that node: its state, its ranks, its log, and a worker that dies."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, Callable, Final, Optional

import psutil

from sft_tui.core.job import JobState
from sft_tui.diagnosis.first_error import tells_an_error
from sft_tui.files.stamps import Signature, signature
from sft_tui.jobs import process
from sft_tui.jobs.evidence.step_diagnosis import why_failed
from sft_tui.jobs.read_state import read_state
from sft_tui.logs.scan import open_log
from sft_tui.logs.tail import LogTail
from sft_tui.logs.training_log import TrainingStep, parse_line
from sft_tui.store.job_store import JobFolder

POLL_SECONDS: Final = 0.3
BEAT_SECONDS: Final = 2.0
READ_AT_MOST: Final = 1 << 18
READS_A_TURN: Final = 16  # a flood must not hide that the part has ended
START_BYTES: Final = 4 << 20  # of a worker's log: its rank is told near the beginning
TAIL_LINES: Final = 40
# MindSpore (cluster_context.cc) once all ranks have found each other; and msrun of a worker that ended badly, which it
# says at once, while it may itself wait half a minute for its scheduler
_RANK = re.compile(r"This node \S+ rank id: (\d+)")
_DIED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")

Tell = Callable[[dict[str, Any]], None]


class PartWatch:
    """Tells changes as JSON objects; `before` is what stood where the workers log when the part was submitted."""

    def __init__(self, folder: JobFolder, offset: int, before: Signature, tell: Tell) -> None:
        self._folder, self._offset, self._before, self._tell = folder, offset, before, tell
        self._step = folder.load_spec().plan.steps[0]
        self._own_log = LogTail(folder.step_log(self._step.id), words=(b"Worker process ",))
        self._ranks: set[int] = set()
        self._local = _local_ranks(self._step.argv)
        self._workers: dict[int, int] = {}  # pid to rank
        self._died = False
        self._state: Optional[JobState] = None
        self._beat = 0.0

    def run(self) -> None:
        """Until the part has ended. Raises SftError, OSError."""
        while True:
            state = read_state(self._folder)
            self._note_workers(state)
            self._tell_ranks()
            self._tell_death()
            reads = 0
            while self._tell_log() and (state.finished or reads < READS_A_TURN):
                reads += 1
            self._tell_state(state)
            if state.finished:
                return
            if time.monotonic() - self._beat > BEAT_SECONDS:
                self._beat = time.monotonic()
                self._tell({"beat": time.time()})
            time.sleep(POLL_SECONDS)

    def _tell_state(self, state: JobState) -> None:
        if self._state is not None and (state.lifecycle, state.reason) == (self._state.lifecycle, self._state.reason):
            return
        self._state = state
        if state.outcome == "failed":
            self._tell({"tail": self._last_lines()})
        step = state.steps[0]
        self._tell(
            {
                "state": state.lifecycle, "outcome": state.outcome or "", "reason": step.reason or state.reason,
                "time": step.ended_at or state.ended_at or 0.0,
            }
        )  # fmt: skip

    def _fresh(self, path: Path) -> bool:
        now = signature(path).get(path.name)
        return now is not None and now != self._before.get(path.name)

    def _tell_log(self) -> bool:
        """More of the last local worker's log; whether there was any."""
        path = Path(self._step.training_log)
        if not self._step.training_log or not self._fresh(path):
            return False
        with open_log(path) as file:
            data = os.pread(file, READ_AT_MOST, self._offset) if file is not None else b""
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) == READ_AT_MOST else 0)
        if not end:
            return False
        self._offset += end
        text = data[:end].decode(errors="replace")
        if b"per_step_time: " in data and any(isinstance(parse_line(line), TrainingStep) for line in text.split("\n")):
            self._ranks |= self._local  # one step needs all of them
            self._tell_ranks()
        self._tell({"log": text, "offset": self._offset})
        return True

    def _tell_ranks(self) -> None:
        known = len(self._ranks)
        if known < len(self._local) and self._step.training_log:
            for rank in self._local - self._ranks:
                path = Path(self._step.training_log).with_name(f"worker_{rank}.log")
                if self._fresh(path):
                    with open_log(path) as file:
                        start = os.pread(file, START_BYTES, 0) if file is not None else b""
                    if (match := _RANK.search(start.decode("utf-8", errors="replace"))) is not None:
                        self._ranks.add(int(match[1]))
        if self._ranks and (len(self._ranks) > known or self._state is None):
            self._tell({"ranks": sorted(self._ranks)})

    def _note_workers(self, state: JobState) -> None:
        """Which process is which rank, as long as they live."""
        leader = state.steps[0].process
        if len(self._workers) >= len(self._local) or leader is None or not process.is_alive(leader):
            return
        try:
            children = psutil.Process(leader.pid).children()
        except psutil.Error:
            return
        for child in children:
            try:
                words = (Path("/proc") / str(child.pid) / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            rank = next((w[8:] for w in words if w.startswith(b"RANK_ID=")), b"")
            if b"MS_ROLE=MS_WORKER" in words and rank.isdigit():
                self._workers[child.pid] = int(rank)

    def _tell_death(self) -> None:
        while not self._died and (lines := self._own_log.read_lines()):
            for line in lines:
                if (match := _DIED.search(line)) is not None:
                    self._died = True
                    self._tell({"died": self._describe_death(int(match[2])), "rank": self._rank_of(int(match[1])),
                                "signal": process.signal_name(int(match[2])), "time": time.time()})  # fmt: skip
                    return

    def _rank_of(self, pid: int) -> int:
        return self._workers.get(pid, min(self._local) if len(self._local) == 1 else -1)

    def _describe_death(self, code: int) -> str:
        why = "" if code < 0 else why_failed(self._step, self._own_log.path, self._before)
        how = process.describe_exit(code)
        return f"{how}: {why}" if tells_an_error(why) else how

    def _last_lines(self) -> list[str]:
        tail = LogTail(self._own_log.path, from_end=1 << 15)
        lines: list[str] = []
        while more := tail.read_lines():
            lines += more
        tail.close()
        return lines[-TAIL_LINES:]


def _local_ranks(argv: tuple[str, ...]) -> set[int]:
    """The ranks of this node, from msrun's arguments."""
    found = {name: int(value) for name, _, value in (word[2:].partition("=") for word in argv) if value.isdigit()}
    count = found.get("local_worker_num", 1)
    first = found.get("node_rank", 0) * count
    return set(range(first, first + count))
