"""The wizard, from the command line."""

from __future__ import annotations

import argparse
import sys

from sft_tui.errors import InvalidInputError


def open_wizard(arguments: argparse.Namespace) -> int:
    """`sft-tui`."""
    return open_profile(arguments.profile)


def need_terminal() -> None:
    """Raises InvalidInputError where there is none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError("The wizard needs a terminal.", "sft-tui --help lists the commands that do without.")


def open_profile(name: str) -> int:
    """Open the wizard on a profile; an empty name: the one used last."""
    need_terminal()
    from sft_tui.tui.app import run_wizard

    return run_wizard(name)
