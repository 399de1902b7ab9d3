"""Time from start to first paint of the wizard, against a bare Textual app in the same terminal.

    python -m tests.benchmarks.first_paint [--runs 7]

Both are started in a new pseudo-terminal of 80x24, in turn; the clock stops when the footer is drawn.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARE_APP = """
from textual.app import App
from textual.widgets import Footer, Header

class Bare(App):
    BINDINGS = [("ctrl+q", "quit", "Quit")]
    def compose(self):
        yield Header()
        yield Footer()

Bare().run()
"""
DEADLINE = 30.0


def seconds_to_paint(argv: list[str], home: str) -> float:
    """Seconds from exec until the word Quit of the footer has reached the terminal."""
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        environment = {**os.environ, "TERM": "xterm-256color", "SFT_TUI_HOME": home, "HOME": home}
        os.execve(argv[0], argv, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    while b"Quit" not in seen:
        if time.monotonic() - started > DEADLINE or not select.select([terminal], [], [], DEADLINE)[0]:
            raise SystemExit(f"{argv} painted nothing within {DEADLINE} s")
        seen += os.read(terminal, 65536)
    elapsed = time.monotonic() - started
    os.write(terminal, b"\x11")  # ctrl+q
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass  # the terminal closes with its program
    os.waitpid(pid, 0)
    return elapsed


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    bare = [sys.executable, "-c", BARE_APP]
    wizard = [sys.executable, "-m", "sft_tui"]
    times: dict[str, list[float]] = {"bare": [], "wizard": []}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(runs + 1):  # the first of each only warms the caches
            times["bare"].append(seconds_to_paint(bare, home))
            times["wizard"].append(seconds_to_paint(wizard, home))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(f"bare Textual app  {medians['bare']:.2f} s")
    print(f"sft-tui wizard    {medians['wizard']:.2f} s")
    print(f"ratio             {medians['wizard'] / medians['bare']:.2f}")


if __name__ == "__main__":
    main()
