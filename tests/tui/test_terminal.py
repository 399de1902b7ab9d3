"""The wizard as a program in a real terminal: old terminals, quitting, and what it says when it dies."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

import pytest

from sft_tui.jobs import client

DEADLINE = 60.0
CRASH = """
import sys
from sft_tui.commands.wizard import run_wizard
from sft_tui.tui.app import SftApp

def fail(self):
    raise RuntimeError("a defect of ours")

SftApp.action_help = fail
sys.exit(run_wizard(""))
"""


class Terminal:
    """A program in a pseudo-terminal of 80x24."""

    def __init__(self, argv, **environment):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, {**os.environ, **environment})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def _read(self):
        if not select.select([self.fd], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the program has ended
            return False
        self.seen += data
        return bool(data)

    def until(self, text):
        deadline = time.monotonic() + DEADLINE
        while text not in self.seen:
            if not self._read() or time.monotonic() > deadline:
                pytest.fail(f"{text!r} did not come: {self.seen[-2000:]!r}")

    def press(self, data):
        os.write(self.fd, data)

    def wait(self):
        """Read to the end; the exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._read():
            if time.monotonic() > deadline:
                os.kill(self.pid, 9)
                pytest.fail("it does not end")
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "xterm", "LC_ALL": "C", "COLORTERM": "", "LANG": "C"},
        {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"},
    ],
    ids=["16-colours-c-locale", "truecolor-utf8"],
)
def test_it_draws_and_quits(home, profile, environment):
    profile()
    terminal = Terminal([sys.executable, "-m", "sft_tui"], **environment)
    terminal.until(b"Working folder")
    terminal.until(b"Quit")
    terminal.press(b"\x1b[18~")  # F7
    terminal.until(b"What you see here")
    asked = time.monotonic()
    terminal.press(b"\x11")
    assert terminal.wait() == 0
    assert time.monotonic() - asked < 5
    assert b"Traceback" not in terminal.seen


def test_quitting_does_not_wait_for_an_interpreter_that_hangs(home, profile, tmp_path):
    script = tmp_path / "hanging-python"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    profile(environment__python=script)
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm")
    terminal.until(b"Working folder")
    time.sleep(1.5)  # the probe runs now; it says nothing that could be waited for
    asked = time.monotonic()
    terminal.press(b"\x11")
    assert terminal.wait() == 0
    assert time.monotonic() - asked < 5


def test_quitting_says_how_to_come_back_to_a_running_job(home, profile, submit):
    profile()
    folder = submit(("train", "sleep 60"))
    terminal = Terminal([sys.executable, "-m", "sft_tui"], TERM="xterm")
    terminal.until(b"Stop job")
    terminal.press(b"\x11")
    assert terminal.wait() == 0
    assert f"Job {folder.id} goes on".encode() in terminal.seen
    assert f"sft-tui jobs attach {folder.id}".encode() in b" ".join(terminal.seen.split())
    assert not client.read_state(folder).finished


def test_a_defect_ends_the_wizard_with_a_sentence_and_a_file(home, profile):
    profile()
    terminal = Terminal([sys.executable, "-c", CRASH], TERM="xterm")
    terminal.until(b"Quit")
    terminal.press(b"\x1b[24~")  # F12
    assert terminal.wait() == 1
    log = home / "sft-tui" / "state" / "sft-tui.log"
    assert b"unexpected error" in terminal.seen
    assert b"sft-tui.log" in terminal.seen.replace(b"\r\n", b"")
    assert b"Traceback" not in terminal.seen and b"a defect of ours" not in terminal.seen
    assert "a defect of ours" in log.read_text() and "Traceback" in log.read_text()


def test_a_defect_in_a_handler_ends_with_code_1_also_in_a_form(home, profile):
    profile()
    code = CRASH.replace("SftApp.action_help = fail", "SftApp.action_help = lambda self: self.screen.query_one('#no')")
    terminal = Terminal([sys.executable, "-c", code], TERM="xterm")
    terminal.until(b"Quit")
    terminal.press(b"\x1b[24~")
    assert terminal.wait() == 1
    assert b"Traceback" not in terminal.seen
