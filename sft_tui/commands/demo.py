"""demo: the whole way on CPU, with a toy model and the real MindSpore and MindFormers."""

from __future__ import annotations

import argparse
from pathlib import Path

from sft_tui.commands.report import say
from sft_tui.commands.wizard import need_terminal, open_profile
from sft_tui.demo.workspace import PROFILE_NAMES, write_workspace
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client
from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.store.profile_store import list_profiles, load_profile_data, profile_path, save_profile_data


def _check_profile(name: str) -> None:
    """The profile of that name is ours to write, and no job of it runs."""
    if name in list_profiles(profiles_dir()):
        if not load_profile_data(profiles_dir(), name).get("rehearsal"):
            raise InvalidInputError(
                f"Your own profile {name!r} has the name that the rehearsal needs.",
                f"Move {profile_path(profiles_dir(), name)} to another name first.",
            )
        running = client.running_job(jobs_dir(), name)
        if running is not None:
            raise InvalidInputError(
                f"A rehearsal runs already as job {running.id}.",
                f"sft-tui jobs attach {running.id} shows it; sft-tui jobs stop {running.id} ends it.",
            )


def run_demo(arguments: argparse.Namespace) -> int:
    """`sft-tui demo`: with --headless exit code 0 only if held-out perplexity fell."""
    folder, name = Path(arguments.dir), PROFILE_NAMES[arguments.model]
    if not arguments.headless:
        need_terminal()
    _check_profile(name)
    data = write_workspace(folder, workers=arguments.workers, family=arguments.model)
    save_profile_data(profiles_dir(), name, data)
    if not arguments.headless:
        return open_profile(name)
    from sft_tui.commands.run import run_profile

    say(f"Workspace: {folder.absolute()}")
    order = {"from_step": "", "until_step": "", "after": [], "resume": False, "detach": False, "json": False}
    return run_profile(argparse.Namespace(profile_name=name, **order))
