"""The head's step for a training on several nodes: starts all parts, follows them, stops all when one fails.

A job on several hosts is one step of the head, `_run_nodes RUN/train.nodes.json`, and a part on each node: an
ordinary job there with the head's id (`5-demo@train-node1`), so that submitting it twice starts it once.
"""

from __future__ import annotations

import queue
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final, Optional

from pydantic import ValidationError

from sft_tui.cluster.node_matrix import NodeMatrix, examine_whole, table_lines
from sft_tui.cluster.part_follower import Messages, PartFollower
from sft_tui.cluster.part_state import PartState
from sft_tui.cluster.ssh import Ssh
from sft_tui.core.job import PartOf
from sft_tui.core.nodes import Launch, NodePart
from sft_tui.core.terminal_text import neutralise
from sft_tui.diagnosis.first_part import Failure, first_failure
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, SftError, StoppedError
from sft_tui.files.small_file import read_small_bytes
from sft_tui.logs.training_log import NODE_NEWS
from sft_tui.paths import job_of_this_step
from sft_tui.store.job_store import JobFolder

POLL_SECONDS: Final = 0.3
MESSAGES_AT_MOST: Final = 256  # waiting to be heard; each may be a piece of a log
GATHER_SECONDS: Final = 1.5  # after the first failure: what came before it may be heard after it
END_SECONDS: Final = 10.0  # in which the others are stopped


class NodesJob:
    """Runs one step on all nodes."""

    def __init__(self, launch: Launch, matrix: NodeMatrix, part_of: PartOf, resume: list[str]) -> None:
        self.launch = launch
        self.messages: Messages = queue.Queue(MESSAGES_AT_MOST)
        ssh = Ssh()
        self.standings = {part.rank: PartState(part, matrix.answers[part.rank].skew) for part in launch.parts}
        self.followers = {}
        for part in launch.parts:
            command = matrix.answers[part.rank].facts["sft_tui"]["command"]
            plan = _going_on(launch, part, resume)
            request = {"part_of": part_of.model_dump(), "package_dir": launch.package_dir, "plan": plan}
            self.followers[part.rank] = PartFollower(ssh, part, command, request, self.messages)
        self._told = ""
        self._unread_told: set[int] = set()
        self._stop = ""  # how it was asked for: "" not at all, "ask", "now"
        self._stop_sent = ""
        self._deadline = float("inf")

    def run(self) -> int:
        """Until all parts have ended; the exit code of the step. Raises SftError that names the first to fail."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGUSR1, self._on_kill)
        self._news(f"starting on {len(self.launch.parts)} nodes")
        for follower in self.followers.values():
            follower.start()
        failures: list[Failure] = []
        gathered_at = float("inf")
        while any(not s.ended for s in self.standings.values()) and time.monotonic() < self._deadline:
            failures += self._listen()
            if failures and gathered_at == float("inf"):
                gathered_at = time.monotonic() + GATHER_SECONDS
            if time.monotonic() > gathered_at:
                self._stop = "now"
            self._pass_stop_on(grace=END_SECONDS if failures else None)
            self._tell_standing()
        for follower in self.followers.values():
            follower.give_up()
        return self._judge(failures)

    def _on_stop(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._stop = self._stop or "ask"

    def _on_kill(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._stop = "now"

    def _listen(self) -> list[Failure]:
        """Take what the nodes said; the failures among it."""
        failures = []
        try:
            for turn in range(MESSAGES_AT_MOST):  # one that never falls silent must not hold up the others, nor a stop
                rank, message = self.messages.get_nowait() if turn else self.messages.get(timeout=POLL_SECONDS)
                failure = self.standings[rank].take(message)
                # who was told to stop may end as it likes
                if failure is not None and not self._stop_sent:
                    failures.append(failure)
                self._show(rank, message)
        except queue.Empty:
            pass
        for rank, follower in self.followers.items():
            follower.look_after()
            if follower.unread and rank not in self._unread_told:
                self._unread_told.add(rank)
                print(neutralise(f"{self.standings[rank].part.name} said what could not be read; it is left out"))
        return failures

    def _show(self, rank: int, message: dict[str, Any]) -> None:
        """The log of the last rank, and the last words of a node that failed."""
        lines = message.get("tail", [])
        if rank == len(self.launch.parts) - 1:
            lines = message.get("log", "").splitlines() or lines
        for line in lines:
            print(neutralise(f"[{rank}] {line}"))
        sys.stdout.flush()

    def _pass_stop_on(self, grace: Optional[float]) -> None:
        if self._stop == self._stop_sent:
            return
        self._stop_sent = self._stop
        own = max(part.plan.stop_grace_seconds for part in self.launch.parts)
        wait = END_SECONDS if self._stop == "now" else own + END_SECONDS
        self._deadline = time.monotonic() + (wait if grace is None else grace)
        for rank, follower in self.followers.items():
            if not self.standings[rank].ended:
                follower.stop(now=self._stop == "now")

    def _tell_standing(self) -> None:
        """What is new about the whole, in one line."""
        standings = list(self.standings.values())
        started = sum(len(s.ranks) for s in standings)
        lost = [f"{s.part.name} is not reachable since {s.lost_since}" for s in standings if s.lost_since]
        waiting = [f"{s.part.name} {s.waits}" for s in standings if s.waits]
        if all(s.ended for s in standings):
            return
        if started == self.launch.worker_num:
            text = f"all {started} ranks on {len(standings)} nodes have started"
        else:
            text = f"{started} of {self.launch.worker_num} ranks have started"
        self._news("; ".join([text, *waiting, *lost]))

    def _news(self, text: str) -> None:
        if text != self._told:
            self._told = text
            print(neutralise(f"{NODE_NEWS}{text}").replace("\n", " "), flush=True)

    def _judge(self, failures: list[Failure]) -> int:
        left = [s for s in self.standings.values() if not s.ended]
        for standing in left:
            where = self.followers[standing.part.rank].folder
            since = f"not reachable since {standing.lost_since}" if standing.lost_since else "not ended"
            job = f": there sft-tui jobs stop {Path(where).name} ends its part" if where else ""
            print(neutralise(f"{standing.part.name} is {since}{job}"), flush=True)
        for rank, follower in self.followers.items():
            if follower.unread > 1:
                print(neutralise(f"{self.standings[rank].part.name}: {follower.unread:,} messages could not be read"))
        lost = "; ".join(f"{s.part.name} is not reachable since {s.lost_since}" for s in left if s.lost_since)
        if failures:
            first = first_failure(failures)
            cause = first.describe(self.standings[first.rank].part)
            raise SftError(f"{cause}{f'; {lost}' if lost else ''}")
        if self._stop:
            raise StoppedError(f"Stopped on {len(self.standings) - len(left)} nodes{f'; {lost}' if lost else ''}.")
        self._news(f"done on all {len(self.standings)} nodes")
        return 0


def _going_on(launch: Launch, part: NodePart, resume: list[str]) -> dict[str, Any]:
    """The plan of the part; after an interruption with the head's arguments to go on, its paths as they are there."""
    step = part.plan.steps[0]
    words = tuple(launch.path_on(part, word) for word in resume)
    return part.plan.with_step(step.id, resume=words).model_dump(mode="json")


def _load_launch(path: Path) -> Launch:
    try:
        return Launch.model_validate_json(read_small_bytes(path))
    except ValidationError as error:
        raise InvalidInputError(f"{path} is not what nodes are told: {error.errors()[0]['msg']}.") from error


def run_nodes_command(arguments: list[str]) -> int:
    """`_run_nodes FILE [ARGUMENT ...]`: the step; further arguments are handed on to the training."""
    try:
        launch = _load_launch(Path(arguments[0]))
        folder = job_of_this_step()
        by_hand = PartOf(id=f"1-{launch.parts[0].plan.profile}", submitted_at=time.time())
        part_of = JobFolder(folder).load_spec().whole if folder else by_hand
        print("looking at the nodes ...", flush=True)
        matrix = examine_whole(launch)
        for line in table_lines(matrix):
            print(neutralise(line), flush=True)
        if not matrix.fits:
            bad = min((f for f in matrix.findings if f.verdict == "failed"), key=lambda f: f.rank)
            raise EnvironmentNotFitError(f"node {bad.rank} ({bad.host}) is not fit: {bad.text}.", bad.hint)
        return NodesJob(launch, matrix, part_of, arguments[1:]).run()
    except SftError as error:
        print(neutralise(f"error: {error.message}"), flush=True)
        if error.hint:
            print(neutralise(f"    {error.hint}"), flush=True)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}", flush=True)
        return 1
