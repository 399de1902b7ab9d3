"""convert-alpaca: an alpaca file as conversations."""

from __future__ import annotations

import argparse
from pathlib import Path

from sft_tui.commands._common.report import ProgressReport, print_json, say, say_remarks, warn
from sft_tui.core.terminal_text import short_duration
from sft_tui.errors import InvalidInputError
from sft_tui.paths import in_job

DEFAULT_EVAL_FRACTION = 0.05


def convert_alpaca(arguments: argparse.Namespace) -> int:
    """`sft-tui convert-alpaca`."""
    from sft_tui.dataset.convert_alpaca import convert_alpaca as convert
    from sft_tui.dataset.read.sources import inspect_source, parse_columns

    evaluation = Path(arguments.eval_output_path) if arguments.eval_output_path else None
    if arguments.eval_fraction is not None and evaluation is None:
        raise InvalidInputError("--eval_fraction needs --eval_output_path.", "Name the file for the held-out records.")
    fraction = DEFAULT_EVAL_FRACTION if arguments.eval_fraction is None else arguments.eval_fraction
    data, columns = Path(arguments.data_path), parse_columns(arguments.columns)
    source = inspect_source(data, columns)
    if source.guessed:
        names = ",".join(f"{ours}={name}" for ours, name in source.columns.items())
        warn(f"note: {data} is read with --columns {names}")
    with ProgressReport("convert") as report:
        result = convert(
            data,
            Path(arguments.output_path),
            columns=columns,
            eval_output_path=evaluation,
            eval_fraction=fraction if evaluation else 0.0,
            seed=arguments.seed,
            on_error=arguments.on_error,
            max_rejected=arguments.max_rejected,
            on_unread=arguments.on_unread,
            force=arguments.force or in_job(),  # what a step writes, a job wrote before
            progress=report,
        )
    if arguments.json:
        print_json(
            {
                "records": result.records,
                "eval_records": result.eval_records,
                "output": str(result.output),
                "columns": dict(source.columns),
                "guessed": source.guessed,
                "rejected": result.rejected,
                "rejected_path": str(result.rejected_path) if result.rejected_path else None,
                "remarks": result.remarks,
            }
        )
        return 0
    say(f"{result.output}: {result.records} conversations in {short_duration(result.seconds)}")
    if evaluation:
        say(f"{evaluation}: {result.eval_records} conversations held out")
    say_remarks(result.remarks, arguments.on_unread)
    if result.rejected:
        warn(f"warning: {result.rejected} records were left out; {result.rejected_path} lists them")
    return 0
