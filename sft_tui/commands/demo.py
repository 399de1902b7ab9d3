"""demo: the whole way on CPU, with a toy model and the real MindSpore and MindFormers."""

from __future__ import annotations

import argparse
from pathlib import Path

from sft_tui.commands.report import say
from sft_tui.commands.wizard import need_terminal, open_profile
from sft_tui.demo.workspace import PROFILE_NAME, write_workspace
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.store.profile_store import list_profiles, load_profile_data, profile_path, save_profile_data


def _check_profile() -> None:
    """The profile `demo` is ours to write, and no job of it runs."""
    if PROFILE_NAME in list_profiles(profiles_dir()):
        if not load_profile_data(profiles_dir(), PROFILE_NAME).get("rehearsal"):
            raise InvalidInputError(
                f"Your own profile {PROFILE_NAME!r} has the name that the rehearsal needs.",
                f"Move {profile_path(profiles_dir(), PROFILE_NAME)} to another name first.",
            )
        running = client.running_job(jobs_dir(), PROFILE_NAME)
        if running is not None:
            raise InvalidInputError(
                f"A rehearsal runs already as job {running.id}.",
                f"sft-tui jobs attach {running.id} shows it; sft-tui jobs stop {running.id} ends it.",
            )


def run_demo(arguments: argparse.Namespace) -> int:
    """`sft-tui demo`: with --headless exit code 0 only if held-out perplexity fell."""
    folder = Path(arguments.dir)
    if not arguments.headless:
        need_terminal()
    _check_profile()
    save_profile_data(profiles_dir(), PROFILE_NAME, write_workspace(folder, workers=arguments.workers))
    if not arguments.headless:
        return open_profile(PROFILE_NAME)
    from sft_tui.commands.run import run_profile

    say(f"Workspace: {folder.absolute()}")
    order = {"from_step": "", "until_step": "", "after": [], "resume": False, "detach": False, "json": False}
    return run_profile(argparse.Namespace(profile_name=PROFILE_NAME, **order))
