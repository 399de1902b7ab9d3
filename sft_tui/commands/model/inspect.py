"""inspect: what is in a checkpoint folder or a `.ckpt`, what is missing, and whether it can be converted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands._common.report import print_json, print_problems, say
from sft_tui.core.problem import Problem
from sft_tui.core.terminal_text import short_size
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

if TYPE_CHECKING:
    from sft_tui.checkpoint.inspect.report import CheckpointReport


def inspect(arguments: argparse.Namespace) -> int:
    """`sft-tui inspect`: exit code 2 unless the folder can be converted, or MindFormers loads it or the file as it is.

    4 when that is so, but not with the version asked for.
    """
    from sft_tui.checkpoint.inspect.report import inspect_checkpoint
    from sft_tui.checkpoint.inspect.text import describe_checkpoint
    from sft_tui.stack.routes import check_route, describe_weight_needs, weight_needs

    path = Path(arguments.hf_dir)
    ready = _is_file(path)
    if not ready and (arguments.base_yaml or arguments.config_path):
        raise InvalidInputError("--base_yaml and --config_path go with a .ckpt.", "A folder has its config.json.")
    report = _inspect_file(path, arguments) if ready else inspect_checkpoint(path)
    needs = weight_needs(report.model_type, arguments.mindformers)
    direct = "folder" in needs.values()
    # a family that we do not convert is no fault where nothing is to be converted
    problems = tuple(p for p in report.problems if not (direct and p.message == report.unknown_family))
    route = check_route(report.model_type, arguments.mindformers)
    problems += (route,) if route else ()
    if report.convertible or (report.tokenizer is not None and report.tokenizer.chat_template):
        problems += _template_problems(report.folder)
    # what is wrong with the folder comes before what is wrong with the environment
    code = min((p.exit_code for p in problems if p.severity == "error"), default=0)
    if arguments.json:
        shown = [problem.to_json() for problem in problems]
        print_json({**report.to_json(), "problems": shown, "mindformers": needs})
        return code
    about = [] if ready else describe_weight_needs(report.model_type, needs)
    for line in (*describe_checkpoint(report), *_describe_outputs(report), *about):
        say(line)
    print_problems(problems)
    return code


def _is_file(path: Path) -> bool:
    """It is meant as a file: one that is there, whatever it is, or by its name."""
    return path.suffix == ".ckpt" or (path.exists() and not path.is_dir())


def _inspect_file(path: Path, arguments: argparse.Namespace) -> CheckpointReport:
    from sft_tui.checks.ready import inspect_ready
    from sft_tui.files.small_file import read_small_text
    from sft_tui.launch.yaml.base_yaml import parse_base

    name, text = arguments.base_yaml, ""
    if name:
        try:
            text = read_small_text(Path(name))
            parse_base(text)
        except OSError as error:
            raise InvalidInputError(f"{name} could not be read: {error.strerror}.", "Check --base_yaml.") from error
        except InvalidInputError as error:
            raise InvalidInputError(f"{name} cannot be used. {error.message}", error.hint) from error
    alone = not (name or arguments.config_path)
    return inspect_ready(path, base_yaml=text, base_name=name, config_dir=arguments.config_path, alone=alone)


def _template_problems(folder: Path) -> tuple[Problem, ...]:
    """Why the folder's chat template could not be used for a data set, where the library to try it is there.

    And whether the folder stops generating at what the template ends answers with.
    """
    from sft_tui.dataset.template.chat import CHAT, template_text
    from sft_tui.dataset.template.taught_end import describe_mismatch, find_taught_end
    from sft_tui.dataset.tokenizer.load import load_tokenizer

    if not (folder / "tokenizer.json").is_file() or template_text(folder) is None:
        return ()  # said elsewhere, or not needed
    try:
        end = find_taught_end(load_tokenizer(folder / "tokenizer.json", threads=1), CHAT)
        if not end.agrees:
            return (Problem("model.hf_dir", *describe_mismatch(end, CHAT), "warning"),)
    except InvalidInputError as error:
        return (Problem("model.tokenizer_model", error.message[0].upper() + error.message[1:], error.hint, "warning"),)
    except EnvironmentNotFitError:
        pass
    return ()


def _describe_outputs(report: CheckpointReport) -> list[str]:
    if not report.output_sizes:
        return []
    sizes = ", ".join(f"{dtype} {short_size(size)}" for dtype, size in report.output_sizes.items())
    return [f"convert-weight would write a .ckpt of: {sizes}"]
