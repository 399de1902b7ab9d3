"""Turns a data file into MindFormers' conversations, and holds some of them out for evaluation."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Mapping, Optional

from sft_tui.core.profile_defaults import MAX_REJECTED
from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation_writer import ConversationWriter, open_conversations
from sft_tui.dataset.read.held_out import HeldOut, count_held_out
from sft_tui.dataset.read.rejects import OnError, Rejects, rejects_path
from sft_tui.dataset.read.remarks import OnUnread, RemarkCounts, check_unread
from sft_tui.dataset.read.sources import read_records
from sft_tui.errors import InvalidInputError
from sft_tui.files.made import check_ours, note_made
from sft_tui.files.whole_file import naming


@dataclass(frozen=True)
class ConversionResult:
    """What `convert_alpaca` wrote: `records` in `output`, `eval_records` in the evaluation file.

    `rejected` records were left out; they are listed in `rejected_path`, None when there are none. `remarks`,
    by kind and name: in how many records fields are not read, or read in a way to know of.
    """

    records: int
    eval_records: int
    output: Path
    seconds: float
    rejected: int = 0
    rejected_path: Optional[Path] = None
    remarks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def convert_alpaca(
    data_path: Path,
    output_path: Path,
    *,
    columns: Optional[Mapping[str, str]] = None,
    eval_output_path: Optional[Path] = None,
    eval_fraction: float = 0.0,
    seed: int = 0,
    on_error: OnError = "fail",
    max_rejected: float = MAX_REJECTED,
    on_unread: OnUnread = "warn",
    force: bool = False,
    progress: ProgressCallback = no_progress,
) -> ConversionResult:
    """Write a data file (`sources.read_records`) as conversations; of alpaca the very bytes of MindFormers' converter.

    With `eval_output_path`, `eval_fraction` of the good records (`HeldOut`; at least one, never all) goes there and
    not to `output_path`; ids keep the numbers of the source. `on_error` and `max_rejected` as in `Rejects`;
    `on_unread`: "fail" stops at the first record with a field that is not read.
    Outputs from before are kept until the new ones are whole; files that we did not make are replaced with `force`
    alone. Raises InvalidInputError, EnvironmentNotFitError.
    """
    started = time.monotonic()
    _check_paths(data_path, output_path, eval_output_path, eval_fraction)
    outputs = [output_path] if eval_output_path is None else [output_path, eval_output_path]
    for path in outputs:
        check_ours(path, force=force)
    with Rejects(output_path, on_error, max_rejected, force=force) as rejects:
        held_out = HeldOut(0, 0)
        if eval_output_path is not None:
            held_out = _choose(data_path, columns, eval_fraction, seed, stop=on_error == "fail")
        remarks = RemarkCounts()
        with ExitStack() as stack:
            written = 0
            writers: List[ConversationWriter] = []  # of what is trained on, and of what is held out
            for record in read_records(data_path, columns, progress):
                if isinstance(record, BadRecord):
                    rejects.take(record)
                    continue
                remarks.add(record.remarks)
                check_unread(remarks.counts, on_unread, str(data_path), record.number)
                if not writers:
                    # Opened with the first good record, so that bad input leaves not even a new folder behind.
                    writers = [stack.enter_context(open_conversations(path)) for path in outputs]
                writers[held_out.has(written)].write(record)
                written += 1
            rejects.check(written + rejects.count)
            if not writers:
                raise InvalidInputError(f"{data_path} holds no record.", "Give a file with at least one record.")
    for path in outputs:
        with naming(path):
            note_made(path)
    return ConversionResult(
        written - held_out.count,
        held_out.count,
        output_path,
        time.monotonic() - started,
        rejects.count,
        rejects.path if rejects.count else None,
        remarks.to_json(),
    )


def _choose(path: Path, columns: Optional[Mapping[str, str]], fraction: float, seed: int, *, stop: bool) -> HeldOut:
    """Read the file once to know how many good records it has."""
    total = 0
    for record in read_records(path, columns):
        if not isinstance(record, BadRecord):
            total += 1
        elif stop:
            raise record.error()
    count = count_held_out(total, fraction)
    if total and not count:
        raise InvalidInputError(
            f"{path} holds {total} good record(s): too few to hold some out for evaluation.",
            "Use a file with more records.",
        )
    return HeldOut(total, count, seed)


def _check_paths(data: Path, output: Path, evaluation: Optional[Path], fraction: float) -> None:
    outputs = [output] if evaluation is None else [output, evaluation]
    resolved = [path.resolve() for path in outputs]
    if data.resolve() in [*resolved, rejects_path(output).resolve()]:
        raise InvalidInputError(f"{data} is both input and output.", "Choose another name for the output.")
    if len(set(resolved)) < len(resolved):
        raise InvalidInputError(
            f"{output} is named for training and for evaluation.", "Choose two different output files."
        )
    if evaluation is not None and not 0.0 < fraction < 1.0:
        raise InvalidInputError(
            f"The share of evaluation records is {fraction}; it must lie between 0 and 1.", "For example 0.05."
        )
    if evaluation is None and fraction:
        raise InvalidInputError(
            "A share of evaluation records was given, but no file to put them in.", "Name the evaluation file too."
        )
