"""demo: the whole way on CPU, with a toy model and the real MindSpore and MindFormers."""

from __future__ import annotations

import argparse
from pathlib import Path

from sft_tui.commands._common.report import say
from sft_tui.commands.wizard import need_terminal, open_profile
from sft_tui.demo.rehearsal import prepare_rehearsal


def run_demo(arguments: argparse.Namespace) -> int:
    """`sft-tui demo`: with --headless exit code 0 only if held-out perplexity fell."""
    folder = Path(arguments.dir)
    if not arguments.headless:
        need_terminal()
    name = prepare_rehearsal(folder, arguments.model, workers=arguments.workers, python=arguments.python)
    if not arguments.headless:
        return open_profile(name)
    from sft_tui.commands.run import run_profile

    say(f"Workspace: {folder.absolute()}")
    order = {"from_step": "", "until_step": "", "after": [], "resume": False, "detach": False, "json": False}
    order["into"] = True  # what an earlier version rehearsed is of no worth
    return run_profile(argparse.Namespace(profile_name=name, **order))
