"""convert-alpaca, preprocess, summary: the steps of a plan that deal with data and results, by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands.report import ProgressReport, print_json, say, warn
from sft_tui.core.terminal_text import short_duration
from sft_tui.errors import InvalidInputError, SftError

if TYPE_CHECKING:
    from sft_tui.dataset.preprocess import PreprocessResult

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
    from sft_tui.dataset.audit.limits import Limits
    from sft_tui.dataset.mindrecord.request import Request
    from sft_tui.dataset.preprocess import preprocess as run_preprocess
    from sft_tui.dataset.read.sources import parse_columns

    model_file = find_encoder_file(arguments)
    config = _config_beside(model_file)
    request = Request(
        input_glob=arguments.input_glob,
        model_file=model_file,
        output_file=Path(arguments.output_file),
        dataset_type=arguments.dataset_type,
        seq_length=arguments.seq_length,
        template=arguments.template,
        file_partition=arguments.file_partition,
        purpose=arguments.purpose,
        columns=tuple(parse_columns(arguments.columns).items()),
        on_error=arguments.on_error,
        max_rejected=arguments.max_rejected,
        limits=Limits(arguments.max_masked, arguments.warn_cut, _vocab_size(arguments, config)),
        labels=_labels(arguments, config),
        pack=arguments.pack,
    )
    with ProgressReport("preprocess") as report:
        result = run_preprocess(request, reuse=not arguments.force, progress=report)
    if arguments.json:
        print_json(result.to_json())
    else:
        _say_preprocessed(result)
    return 0


def find_encoder_file(arguments: argparse.Namespace) -> Path:
    """The tokenizer that is meant: a chat template goes with tokenizer.json. Raises InvalidInputError."""
    from sft_tui.dataset.template.chat import CHAT
    from sft_tui.dataset.tokenizer.load import find_tokenizer

    folder = Path(arguments.model_file)
    if arguments.template == CHAT and (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json"
    return find_tokenizer(folder)


def _config_beside(model_file: Path) -> dict[str, object]:
    """The model's config.json, if it lies beside its tokenizer."""
    try:
        config = json.loads(model_file.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _labels(arguments: argparse.Namespace, config: dict[str, object]) -> str:
    """As asked; else as MindFormers wants them for the model whose config.json lies beside the tokenizer."""
    from sft_tui.stack.routes import choose_route

    if arguments.labels:
        return str(arguments.labels.replace("-", " "))
    return choose_route(str(config.get("model_type")), "").labels if arguments.dataset_type == "qa" else "as tokens"


def _vocab_size(arguments: argparse.Namespace, config: dict[str, object]) -> int:
    """As told; else that of the model whose folder has the chat template."""
    size = config.get("vocab_size")
    beside = size if arguments.template == "chat" and isinstance(size, int) else 0
    return int(arguments.vocab_size or max(0, beside))


def _say_preprocessed(result: PreprocessResult) -> None:
    from sft_tui.dataset.encode.packing import MASK_NOTE

    counts = result.manifest
    done = "already there" if result.skipped else f"in {short_duration(result.seconds)}"
    purpose = "evaluation" if counts.work.purpose == "eval" else "training"
    say(
        f"{result.files[0]}: {counts.rows} rows of {counts.row_length} tokens for {purpose} {done}, "
        f"{counts.trained_tokens} tokens to learn from, {counts.pad_share:.0%} padding"
    )
    if counts.work.labels == "shifted":
        say("labels are shifted by one: for networks that do not shift them (Qwen3 and later), and for no other")
    if counts.work.pack:
        say(f"packed: {counts.records} records in {counts.rows} rows. {MASK_NOTE}")
    if result.warning:
        warn(f"warning: {result.warning}")
    elif counts.cut:
        warn(f"note: {counts.cut} of {counts.rows} rows were cut")
    if counts.masked:
        warn(f"warning: {counts.masked} rows teach nothing: no token of the answer is left. sft-tui audit names them")
    if counts.rejected:
        warn(f"warning: {counts.rejected} records could not be used and were skipped")


def summarise(arguments: argparse.Namespace) -> int:
    """`sft-tui summary`: also writes summary.json into the run's folder."""
    from sft_tui.files.atomic import write_atomic
    from sft_tui.results.summary import build_summary

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
