"""What the head calls on each node over SSH: `_node hello | submit | watch | stop`. JSON in, JSON out."""

from __future__ import annotations

import json
import sys

from sft_tui import __version__
from sft_tui.paths import PACKAGE_DIR


def node_command(arguments: list[str]) -> int:
    """One call of the head's; the exit code."""
    from sft_tui.jobs import client  # proves that all that a supervisor needs is installed

    assert client
    if arguments[:1] == ["hello"]:
        answer = {
            "command": [sys.executable, str(PACKAGE_DIR)],
            "package_dir": str(PACKAGE_DIR),
            "version": __version__,
        }
        print(json.dumps(answer))
        return 0
    return 2
