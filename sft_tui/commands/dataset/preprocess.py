"""preprocess: conversations as MindRecord. Runs under the training interpreter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands._common.encoder_file import find_encoder_file
from sft_tui.commands._common.report import ProgressReport, print_json, say, say_remarks, warn
from sft_tui.commands._common.text_reading import text_reading
from sft_tui.core.terminal_text import short_duration
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_object

if TYPE_CHECKING:
    from sft_tui.dataset.preprocess import PreprocessResult


def preprocess(arguments: argparse.Namespace) -> int:
    """`sft-tui preprocess`: runs under the training interpreter."""
    from sft_tui.dataset.audit.limits import Limits
    from sft_tui.dataset.mindrecord.request import Request
    from sft_tui.dataset.preprocess import preprocess as run_preprocess
    from sft_tui.dataset.read.sources import parse_columns

    model_file = find_encoder_file(arguments)
    config = _config_beside(model_file)
    text = text_reading(arguments)
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
        labels=choose_labels(arguments, config),
        pack=arguments.pack,
        on_unread=arguments.on_unread,
        text=text,
        eval_fraction=arguments.eval_fraction,
    )
    with ProgressReport("preprocess") as report:
        result = run_preprocess(request, reuse=not arguments.force, progress=report)
    if arguments.json:
        print_json({**result.to_json(), "held_out": None})  # of a split that is gone: readers expect the key
    else:
        _say_preprocessed(result, arguments.on_unread)
    return 0


def _config_beside(model_file: Path) -> dict[str, object]:
    """The model's config.json, if it lies beside its tokenizer."""
    try:
        return read_small_object(model_file.with_name("config.json"))
    except (OSError, InvalidInputError):
        return {}


def choose_labels(arguments: argparse.Namespace, config: dict[str, object]) -> str:
    """As asked; else as MindFormers wants them for the model whose config.json lies beside the tokenizer."""
    from sft_tui.stack.routes import choose_route

    if arguments.labels:
        return str(arguments.labels.replace("-", " "))
    # of plain text the scripts have rows for one kind of network alone: another one is named
    model = arguments.model if arguments.dataset_type == "wiki" else str(config.get("model_type"))
    return choose_route(model, "").labels if model else "as tokens"


def _vocab_size(arguments: argparse.Namespace, config: dict[str, object]) -> int:
    """As told; else that of the model whose folder has the chat template."""
    size = config.get("vocab_size")
    beside = size if arguments.template == "chat" and isinstance(size, int) else 0
    return int(arguments.vocab_size or max(0, beside))


def _say_preprocessed(result: PreprocessResult, on_unread: str) -> None:
    from sft_tui.dataset.encode.packing import MASK_NOTE
    from sft_tui.dataset.text.passages import keepable

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
    if counts.work.dataset_type == "wiki":
        say(f"passages: {counts.records}, which run on from row to row; all tokens are trained on")
    say_remarks(result.remarks, on_unread)
    if keepable(result.remarks):
        warn("note: --keep_all keeps what MindFormers' script would lose here as well, all but headings")
    if result.warning:
        warn(f"warning: {result.warning}")
    elif counts.cut:
        warn(f"note: {counts.cut} of {counts.rows} rows were cut")
    if counts.masked:
        warn(f"warning: {counts.masked} rows teach nothing: no token of the answer is left. sft-tui audit names them")
    if counts.rejected:
        warn(f"warning: {counts.rejected} records could not be used and were skipped")
