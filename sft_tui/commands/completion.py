"""completion: a script that lets a shell complete commands, flags, choices and paths."""

from __future__ import annotations

import argparse
from typing import Iterator

from sft_tui.errors import EnvironmentNotFitError

# what an argument names, by its `dest`; a shell completes nothing where it is not told what
FILES = {
    "data_path", "eval_output_path", "input_glob", "input_path", "model_file", "output_file", "output_path", "path",
    "target",
}  # fmt: skip
FOLDERS = {"config_path", "dir", "hf_dir", "paths", "run_dir", "script", "tensorboard"}


def print_completion(arguments: argparse.Namespace) -> int:
    """`sft-tui completion SHELL`: print the script. Raises EnvironmentNotFitError without shtab."""
    try:
        import shtab
    except ImportError as error:
        raise EnvironmentNotFitError(f"Completion needs shtab: {error}.", "pip install shtab") from error
    for action in find_actions(arguments.whole_parser):
        if action.dest in FILES | FOLDERS:
            action.complete = shtab.FILE if action.dest in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(arguments.whole_parser, arguments.shell))
    return 0


def find_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from find_actions(command)
