"""audit: what a model would learn of a dataset, in numbers, bars, and one record as the model sees it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands._common.output_gate import beside_gate
from sft_tui.commands._common.report import ProgressReport, print_json, say
from sft_tui.commands._common.text_reading import text_reading
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from sft_tui.dataset.audit.sample import RecordView

# how trained text is shown on a terminal, and elsewhere
_ON, _OFF = "\x1b[7m", "\x1b[27m"
_MARKS = ("[[", "]]")


def run_audit(arguments: argparse.Namespace) -> int:
    """`sft-tui audit`."""
    return _print_record(arguments) if arguments.record else _print_audit(arguments)


def _print_audit(arguments: argparse.Namespace) -> int:
    """Numbers and bars; with --json the report."""
    from sft_tui.commands._common.encoder_file import find_encoder_file
    from sft_tui.dataset.audit.limits import Limits, check_limits, cut_warning
    from sft_tui.dataset.audit.text import audit_lines
    from sft_tui.dataset.audit.text_sample import audit_text
    from sft_tui.dataset.read.sources import parse_columns
    from sft_tui.dataset.run_audit import audit, is_mindrecord
    from sft_tui.dataset.template.taught_end import describe_mismatch
    from sft_tui.dataset.tokenizer.load import load_tokenizer

    limits = Limits(arguments.max_masked, arguments.warn_cut, arguments.vocab_size)
    path, reading = Path(arguments.path), text_reading(arguments)
    with ProgressReport("audit") as report:
        if arguments.dataset_type == "wiki" and not is_mindrecord(path):
            result = audit_text(path, load_tokenizer(find_encoder_file(arguments)), arguments.seq_length, reading)
        else:
            result = audit(
                path,
                find_encoder_file(arguments),
                arguments.seq_length,
                template=arguments.template,
                columns=tuple(parse_columns(arguments.columns).items()),
                on_unread=arguments.on_unread,
                progress=report,
            )
    if arguments.json:
        print_json(result.to_json())
    else:
        for line in audit_lines(result):
            say(line)
        if result.end is not None and not result.end.agrees:
            say(f"warning: {' '.join(describe_mismatch(result.end, arguments.template))}")
        warning = cut_warning(result, limits)
        if warning:
            say(f"warning: {warning}")
    if arguments.strict:
        check_limits(result, limits)
    return 0


def _print_record(arguments: argparse.Namespace) -> int:
    """One record as the model sees it."""
    from sft_tui.commands._common.encoder_file import find_encoder_file
    from sft_tui.dataset.audit.sample import view_record
    from sft_tui.dataset.audit.text_sample import PassageViewer
    from sft_tui.dataset.read.sources import parse_columns
    from sft_tui.dataset.run_audit import is_mindrecord
    from sft_tui.dataset.tokenizer.load import load_tokenizer

    if is_mindrecord(Path(arguments.path)):
        hint = "Name the conversations that it was made of, with the same --template and --seq_length."
        raise InvalidInputError(f"{arguments.path} is a MindRecord: --record shows a record of a data file.", hint)
    path, encoder, reading = Path(arguments.path), find_encoder_file(arguments), text_reading(arguments)
    if arguments.dataset_type == "wiki":
        view = PassageViewer(path, load_tokenizer(encoder), arguments.seq_length, reading).view(arguments.record)
    else:
        view = view_record(
            path,
            encoder,
            arguments.record,
            seq_length=arguments.seq_length,
            template=arguments.template,
            columns=tuple(parse_columns(arguments.columns).items()),
        )
    if arguments.json:
        print_json(view.to_json())
        return 0
    live = sys.stdout.isatty()
    for text in _record_lines(view, _ON if live else _MARKS[0], _OFF if live else _MARKS[1]):
        print(text, file=beside_gate(sys.stdout))
    say("")
    how = "in reverse" if live else "between [[ and ]]"
    say(
        f"{view.name}: {view.tokens} tokens, {view.trained_tokens} learned ({how})"
        + (f"; {view.tokens - view.row_length} beyond the row are cut" if view.tokens > view.row_length else "")
        + (f"; teaches nothing: {view.masked_reason}" if view.masked_reason else "")
    )
    return 0


def _record_lines(view: RecordView, on: str, off: str) -> list[str]:
    from sft_tui.core.terminal_text import neutralise

    parts: list[str] = []
    for span in view.spans:
        if span.beyond and not any(part.startswith("\n-- cut") for part in parts):
            parts.append("\n-- cut here: the model does not see what follows --\n")
        lines = [neutralise(line) for line in span.text.split("\n")]
        parts.append("\n".join(f"{on}{line}{off}" if span.trained and line else line for line in lines))
    return "".join(parts).split("\n")
