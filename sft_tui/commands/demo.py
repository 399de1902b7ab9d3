"""demo: the whole way on CPU, with a toy model and the real MindSpore and MindFormers."""

from __future__ import annotations

import argparse
from pathlib import Path

from sft_tui.commands.report import say
from sft_tui.demo.workspace import PROFILE_NAME, write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data


def run_demo(arguments: argparse.Namespace) -> int:
    """`sft-tui demo`: with --headless exit code 0 only if held-out perplexity fell."""
    folder = Path(arguments.dir)
    save_profile_data(profiles_dir(), PROFILE_NAME, write_workspace(folder, workers=arguments.workers))
    if not arguments.headless:
        from sft_tui.commands.wizard import open_profile

        return open_profile(PROFILE_NAME)
    from sft_tui.commands.run import run_profile

    say(f"Workspace: {folder.absolute()}")
    return run_profile(argparse.Namespace(profile_name=PROFILE_NAME, from_step="", until_step="", detach=False))
