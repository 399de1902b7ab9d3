"""Streams of samples from many hosts: one connection each, of this host its own child; what each said last."""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Callable, Final, Optional, Sequence

from sft_tui.cluster.bounded_talk import LastWords
from sft_tui.cluster.ssh import Child, Ssh, SshError, is_this_host, translate
from sft_tui.core.nodes import Node
from sft_tui.monitor.sample_json import LONGEST_LINE, HostSample, parse_line
from sft_tui.paths import PACKAGE_DIR, own_command

TELL_SECONDS: Final = 0.25  # news of all hosts together, at most that often
SILENT_SECONDS: Final = 30.0  # without a word: another connection may be better
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
STARTS_AT_ONCE: Final = 8  # connections that begin in one turn: each costs a process
JUMP_SECONDS: Final = 5.0  # more than a line is ever under way
_MOST_CHUNK: Final = 1 << 16
_LAST_WORDS_SECONDS, _END_SECONDS = 0.5, 5.0
# which sft-tui that host has, then its stream; the first that answers is taken
_STREAM: Final = """
py=$1 own=$2 package=$3; shift 3
try() { "$@" _node hello >/dev/null 2>&1 </dev/null; }
try "$own" "$package" && exec "$own" "$package" "$@"
for script in "${py%/*}/sft-tui" sft-tui "$HOME/.local/bin/sft-tui"; do try "$script" && exec "$script" "$@"; done
try "$py" "$package" && exec "$py" "$package" "$@"
echo "sft-tui was not found there: install it for $py" >&2
exit 127
"""


@dataclass(frozen=True)
class WatchedNode:
    """A host to watch: how it is reached, its interpreter, and the folders whose disks matter."""

    name: str
    node: Node
    python: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeView:
    """What is known of one host. Times by the steady clock of this one; `problem` says why nothing newer comes.

    `clock_ahead`: how far its clock is before ours; `clock_jumped`: how far that moved between two samples.
    """

    place: int  # in the list of nodes
    name: str
    sample: Optional[HostSample] = None
    heard_at: float = 0.0
    problem: str = ""
    clock_ahead: float = 0.0
    clock_jumped: float = 0.0

    def age(self, now: float) -> float:
        """Seconds since the NPUs of that host were asked."""
        return 0.0 if self.sample is None else self.sample.age_seconds + max(0.0, now - self.heard_at)

    def hear(self, sample: HostSample, now: float, clock: float) -> NodeView:
        """The view after this sample came; `clock` is the time of day here."""
        ahead = sample.npus.taken_at + sample.age_seconds - clock
        moved = ahead - self.clock_ahead if self.sample is not None else 0.0
        jumped = moved if abs(moved) > JUMP_SECONDS else self.clock_jumped
        return replace(self, sample=sample, heard_at=now, problem="", clock_ahead=ahead, clock_jumped=jumped)


@dataclass
class _Line:
    """The connection to one host; without a child the next try is at `due`."""

    watched: WatchedNode
    child: Optional[Child] = None
    errors: Optional[LastWords] = None
    rest: bytearray = field(default_factory=bytearray)
    heard: float = 0.0
    due: float = 0.0
    pause: float = FIRST_PAUSE


class NodeMonitor:
    """Watches all hosts in the thread that runs it and tells the views of all when one has changed."""

    def __init__(self, nodes: Sequence[WatchedNode], tell: Callable[[tuple[NodeView, ...]], object]) -> None:
        self._tell = tell
        self._lines = [_Line(watched) for watched in nodes]
        self._views = [NodeView(place, watched.name) for place, watched in enumerate(nodes)]
        self._closed = threading.Event()
        self._changed = False

    def close(self) -> None:
        """End all connections soon, without waiting for them."""
        self._closed.set()

    def run(self) -> None:
        """Watch until it is closed, and end what it has started. Raises OSError."""
        ssh = Ssh()
        told = 0.0
        with selectors.DefaultSelector() as selector:
            try:
                while not self._closed.is_set():
                    self._start_due(ssh, selector)
                    for key, _ in selector.select(TELL_SECONDS):
                        self._read(selector, key.data)
                    self._end_silent(selector)
                    if self._changed and time.monotonic() - told >= TELL_SECONDS:
                        self._changed, told = False, time.monotonic()
                        self._tell(tuple(self._views))
            finally:
                for place in range(len(self._lines)):
                    self._end(selector, place)

    def _start_due(self, ssh: Ssh, selector: selectors.BaseSelector) -> None:
        now, started = time.monotonic(), 0
        for place, line in enumerate(self._lines):
            if line.child is None and line.due <= now and started < STARTS_AT_ONCE:
                started += 1
                self._start(ssh, selector, place)

    def _start(self, ssh: Ssh, selector: selectors.BaseSelector, place: int) -> None:
        line = self._lines[place]
        try:
            line.child = ssh.open(line.watched.node, stream_command(line.watched))
        except SshError as error:
            self._fail(place, str(error))
            return
        line.errors, line.heard, line.rest = LastWords(line.child.stderr), time.monotonic(), bytearray()
        assert line.child.stdout is not None and line.child.stdin is not None
        line.child.stdin.close()
        selector.register(line.child.stdout, selectors.EVENT_READ, place)

    def _read(self, selector: selectors.BaseSelector, place: int) -> None:
        line = self._lines[place]
        assert line.child is not None and line.child.stdout is not None
        chunk = os.read(line.child.stdout.fileno(), _MOST_CHUNK)
        if not chunk:
            self._fail(place, self._end(selector, place, is_over=True))
            return
        line.heard = time.monotonic()
        line.rest += chunk
        *whole, last = line.rest.split(b"\n")
        line.rest = bytearray(last)
        samples = [sample for text in whole if (sample := parse_line(bytes(text))) is not None]
        if samples:  # those before the last are old already
            line.pause = FIRST_PAUSE
            self._views[place] = self._views[place].hear(samples[-1], time.monotonic(), time.time())
            self._changed = True
        if len(line.rest) > LONGEST_LINE:
            self._end(selector, place)
            self._fail(place, f"{line.watched.name} sent a line without an end.")

    def _end_silent(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for place, line in enumerate(self._lines):
            if line.child is not None and now - line.heard > SILENT_SECONDS:
                self._end(selector, place)
                self._fail(place, f"{line.watched.name} has said nothing for {SILENT_SECONDS:.0f} s.")

    def _end(self, selector: selectors.BaseSelector, place: int, *, is_over: bool = False) -> str:
        """Close the connection; why it had ended, if it `is_over`."""
        line = self._lines[place]
        child, errors = line.child, line.errors
        if child is None or errors is None:
            return ""
        assert child.stdout is not None
        selector.unregister(child.stdout)
        child.stdout.close()
        code = _exit_code(child, _LAST_WORDS_SECONDS if is_over else 0.0)
        if code is None:
            child.terminate()  # a sampler ends its npu-smi as well
            threading.Thread(target=_bury, args=(child,), daemon=True).start()
        said = errors.text(_LAST_WORDS_SECONDS if is_over else 0.0)
        line.child = line.errors = None
        return translate(line.watched.node, 255 if code is None or code < 0 else code, said).message

    def _fail(self, place: int, why: str) -> None:
        line = self._lines[place]
        line.due = time.monotonic() + line.pause
        line.pause = min(LONGEST_PAUSE, 2 * line.pause)
        self._views[place] = replace(self._views[place], problem=why)
        self._changed = True


def _exit_code(child: Child, seconds: float) -> Optional[int]:
    """The exit code, if it ends in that time."""
    deadline = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return child.returncode


def _bury(child: Child) -> None:
    """Wait for its end, so that no zombie stays; kill what does not end when asked."""
    if _exit_code(child, _END_SECONDS) is None:
        child.kill()
        child.wait()


def stream_command(watched: WatchedNode) -> list[str]:
    """What is called on that host: its own sft-tui, as a stream of JSON lines."""
    words = ["monitor", "--json", *(word for path in watched.paths for word in ("--path", path))]
    if is_this_host(watched.node):
        return [*own_command(), *words]
    python = watched.python or sys.executable
    return ["sh", "-c", _STREAM, "sh", python, sys.executable, str(PACKAGE_DIR), *words]
