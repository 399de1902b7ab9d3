"""convert-alpaca, preprocess, audit, summary: the steps of a plan that deal with data and results, by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sft_tui.commands.report import ProgressReport, print_json, say, warn
from sft_tui.core.terminal_text import short_duration
from sft_tui.errors import InvalidInputError, SftError

DEFAULT_EVAL_FRACTION = 0.05


def convert_alpaca(arguments: argparse.Namespace) -> int:
    """`sft-tui convert-alpaca`."""
    from sft_tui.dataset.convert_alpaca import convert_alpaca as convert
    from sft_tui.dataset.sources import inspect_source, parse_columns

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
            }
        )
        return 0
    say(f"{result.output}: {result.records} conversations in {short_duration(result.seconds)}")
    if evaluation:
        say(f"{evaluation}: {result.eval_records} conversations held out")
    if result.rejected:
        warn(f"warning: {result.rejected} records were left out; {result.rejected_path} lists them")
    return 0


def preprocess(arguments: argparse.Namespace) -> int:
    """`sft-tui preprocess`: runs under the training interpreter."""
    from sft_tui.dataset import mindrecord

    with ProgressReport("preprocess") as report:
        result = mindrecord.preprocess(
            dataset_type=arguments.dataset_type,
            input_glob=arguments.input_glob,
            model_file=Path(arguments.model_file),
            seq_length=arguments.seq_length,
            output_file=Path(arguments.output_file),
            template=arguments.template,
            file_partition=arguments.file_partition,
            reuse=not arguments.force,
            progress=report,
        )
    if arguments.json:
        print_json(result.to_json())
        return 0
    done = "already there" if result.skipped else f"in {short_duration(result.seconds)}"
    say(f"{result.files[0]}: {result.rows} rows {done}, {result.pad_share:.0%} padding")
    if result.cut:
        warn(
            f"warning: {result.cut} of {result.rows} samples are longer than {arguments.seq_length} tokens and were cut"
        )
    if result.masked:
        warn(
            f"warning: {result.masked} samples teach nothing: no token of the answer is left. sft-tui audit names them"
        )
    return 0


def audit(arguments: argparse.Namespace) -> int:
    """`sft-tui audit`."""
    from sft_tui.dataset.audit import audit as run_audit

    with ProgressReport("audit") as report:
        result = run_audit(Path(arguments.path), Path(arguments.model_file), arguments.seq_length, progress=report)
    if arguments.json:
        print_json(result.to_json())
        return 0
    say(
        f"{result.path}: {result.rows} rows, {result.trained_tokens} tokens to learn from,"
        f" {result.pad_share:.0%} padding"
    )
    say(f"tokens per row: half up to {result.tokens_p50}, 95 % up to {result.tokens_p95}, longest {result.tokens_max}")
    if result.cut is not None:
        say(f"cut at {result.seq_length} tokens: {result.cut} rows" + _examples(result.cut_examples))
    say(f"nothing to learn in: {result.masked} rows" + _examples(result.masked_examples))
    return 0


def _examples(findings: tuple[object, ...]) -> str:
    return f" (ids {', '.join(str(getattr(f, 'id', '')) for f in findings)})" if findings else ""


def summarise(arguments: argparse.Namespace) -> int:
    """`sft-tui summary`: also writes summary.json into the run's folder."""
    from sft_tui.launch.summary import build_summary
    from sft_tui.store.atomic import write_atomic

    run_dir = Path(arguments.run_dir)
    summary = build_summary(run_dir)
    write_atomic(run_dir / "summary.json", json.dumps(summary.to_json(), indent=1))
    if arguments.json:
        print_json(summary.to_json())
    else:
        for line in summary.lines():
            say(line)
    if not arguments.require_gain or summary.gained:
        return 0
    before, after = summary.perplexity_before, summary.perplexity_after
    message = f"Perplexity on held-out data did not fall: {before} before, {after} after."
    if arguments.json:  # the one object is printed
        warn(f"sft-tui: error: {message}")
        return 1
    raise SftError(message, "Train longer or with a higher learning rate, and look at the loss.")
