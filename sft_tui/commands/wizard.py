"""The wizard, from the command line."""

from __future__ import annotations

import argparse
import gc
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
    return run_wizard(name)


def run_wizard(name: str) -> int:
    """Run the wizard until the user leaves; the exit code. Raises SftError for a profile that cannot be read."""
    from sft_tui.paths import profiles_dir
    from sft_tui.store.profile_store import list_profiles, load_profile_data

    if name and name not in list_profiles(profiles_dir()):
        load_profile_data(profiles_dir(), name)  # raises: a name that was typed must exist
    gc.disable()  # until the first frame is painted: collecting what was just imported takes long
    try:
        from sft_tui.tui.app import SftApp
        from sft_tui.tui.opening import choose_profile

        app = SftApp(choose_profile(name))
        app.run()
    finally:
        gc.enable()
    if app.not_opened is not None:
        raise app.not_opened
    return app.return_code or 0
