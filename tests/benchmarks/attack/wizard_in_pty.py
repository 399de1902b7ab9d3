"""The real wizard in a pseudo-terminal and a home of its own, for attacks on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0
QUIT_SECONDS = 300.0  # all that was typed before is worked off first
KEYS = {
    **{f"f{n + 1}": b"\x1bO" + bytes([ord("P") + n]) for n in range(4)},
    **{f"f{n}": b"\x1b[%d~" % code for n, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24))},
    "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D", "home": b"\x1b[H", "end": b"\x1b[F",
    "pageup": b"\x1b[5~", "pagedown": b"\x1b[6~", "insert": b"\x1b[2~", "delete": b"\x1b[3~", "shift+tab": b"\x1b[Z",
    "escape": b"\x1b", "enter": b"\r", "tab": b"\t", "backspace": b"\x7f", "space": b" ",
    **{f"ctrl+{chr(96 + code)}": bytes([code]) for code in range(1, 27)},
}  # fmt: skip
QUIT = KEYS["ctrl+q"]


class WizardInPty:
    """As a context manager: started in a home with one profile; at the end nothing of it is left."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="sft-tui-attack-"))
        self.environment = {
            **os.environ,
            "HOME": str(self.home),
            "SFT_TUI_HOME": str(self.home / "sft"),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        self.seen = b""
        self._pid = self._fd = -1

    def __enter__(self) -> WizardInPty:
        return self

    def start(self) -> bool:
        """Open the wizard; whether it came up."""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(self.home)
            os.execve(sys.executable, [sys.executable, "-m", "sft_tui"], self.environment)
        self.resize(80, 24)
        end = time.monotonic() + START_SECONDS
        while b"Working folder" not in self.seen and time.monotonic() < end:
            if not self.read(0.1):
                return False
        return b"Working folder" in self.seen

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the terminal; the wizard is told by a signal."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGWINCH)

    def press(self, keys: bytes) -> bool:
        """Type; False: it has ended."""
        try:
            os.write(self._fd, keys)
        except OSError:
            return False
        return True

    def read(self, seconds: float) -> bool:
        """Read what it draws within that time; False: it has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                try:
                    data = os.read(self._fd, 65536)
                except OSError:
                    return False
                if not data:
                    return False
                self.seen += data
        return True

    def quit(self) -> int | None:
        """Leave it, out of whatever dialog; its exit code, or None: it had to be killed."""
        end = time.monotonic() + QUIT_SECONDS
        while time.monotonic() < end:
            if not (self.press(QUIT) and self.read(0.5)):
                _, status = os.waitpid(self._pid, 0)
                self._pid = -1
                return os.waitstatus_to_exitcode(status)
        return None

    def __exit__(self, *_error: object) -> None:
        if self._pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        if self._fd >= 0:
            os.close(self._fd)
        self._end_jobs()
        shutil.rmtree(self.home, ignore_errors=True)

    def _end_jobs(self) -> None:
        """What keys have started by chance."""
        from sft_tui.errors import SftError
        from sft_tui.jobs import client
        from sft_tui.store.job_store import list_jobs

        for folder in list_jobs(self.home / "sft" / "state" / "jobs"):
            with contextlib.suppress(SftError, OSError):
                if not client.read_state(folder).finished:
                    client.stop(folder, at_once=True)
                    end = time.monotonic() + 20
                    while not client.read_state(folder).finished and time.monotonic() < end:
                        time.sleep(0.2)
