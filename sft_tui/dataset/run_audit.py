"""Audits a dataset: trainable tokens, truncated and fully masked samples, lengths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.audit.report import AuditReport, MaskedExample, Tally
from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.encode.encoder import check_seq_length
from sft_tui.dataset.encode.pipeline import Encoding, Pipeline, count_encoders
from sft_tui.dataset.mindrecord.file import read_rows
from sft_tui.dataset.read.data_file import find_data_file
from sft_tui.dataset.read.remarks import OnUnread, check_unread
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.template.taught_end import find_taught_end
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.errors import InvalidInputError


def audit(
    path: Path,
    model_file: Path,
    seq_length: int,
    *,
    template: str = DEFAULT_TEMPLATE,
    columns: Tuple[Tuple[str, str], ...] = (),
    on_unread: OnUnread = "warn",
    progress: ProgressCallback = no_progress,
) -> AuditReport:
    """Audit a file of records as training would see them, or a MindRecord as it is.

    `progress` hears of records or rows. `on_unread`: "fail" stops at a field that is not read, "ignore" leaves such
    fields out of the report. A record that cannot be used is counted as rejected. Raises InvalidInputError,
    also for a MindRecord whose rows are neither seq_length + 1 (training) nor seq_length (evaluation) long;
    EnvironmentNotFitError when a MindRecord is to be read without MindSpore.
    """
    check_seq_length(seq_length)
    tokenizer = load_tokenizer(model_file, threads=1)
    if is_mindrecord(path):
        return _audit_mindrecord(path, tokenizer.pad_id, seq_length, progress)
    check_template(template, tokenizer)
    find_data_file(path)
    tally = Tally(seq_length + 1)
    first_bad = None
    task = Encoding((str(path),), str(model_file), template, tally.row_length, columns, counts_alone=True)
    with Pipeline(task, count_encoders(writing=False), tokenizer) as pipeline:
        for batch in pipeline:
            tally.add_batch(batch)
            tally.rejected += len(batch.bad)
            first_bad = first_bad or next(iter(batch.bad), None)
            check_unread(batch.remarks, on_unread, batch.source)
            done = tally.rows + tally.rejected
            progress(Progress(done, round(done * batch.bytes_total / max(1, batch.bytes_read)), "records"))
    if not tally.rows and first_bad:
        raise first_bad.error()
    if first_bad:
        tally.rejected_reason = f"Record {first_bad.number}: {first_bad.reason}"
    report = tally.report(str(path), "conversations", seq_length)
    report = replace(report, end=find_taught_end(tokenizer, template))
    if on_unread == "ignore":
        return replace(report, remarks={kind: names for kind, names in report.remarks.items() if kind != "unread"})
    return report


def is_mindrecord(path: Path) -> bool:
    """Whether `path` names a MindRecord, by its name or by the index beside it."""
    indexes = (f"{path.name}.db", f"{path.name}0.db", f"{path.name}00.db")
    return ".mindrecord" in path.suffix or any(path.with_name(name).is_file() for name in indexes)


def _audit_mindrecord(path: Path, pad_id: int, seq_length: int, progress: ProgressCallback) -> AuditReport:
    tally = Tally(seq_length + 1)
    for number, row in enumerate(read_rows(path), 1):
        if "input_ids" not in row:
            raise InvalidInputError(
                f"{path} has the columns {', '.join(sorted(row))}, but no `input_ids`.", "Was it made by preprocess?"
            )
        ids = row["input_ids"]
        if len(ids) not in (seq_length, seq_length + 1) or (number > 1 and len(ids) != tally.row_length):
            raise InvalidInputError(
                f"{path}: row {number} has {len(ids)} tokens; seq_length {seq_length} wants {seq_length + 1}, or"
                f" {seq_length} for evaluation.",
                f"It was made with --seq_length {len(ids) - 1}, or for evaluation with {len(ids)}.",
            )
        tally.row_length = len(ids)
        used = len(ids) - int((ids[::-1] != pad_id).argmax()) if (ids != pad_id).any() else 0
        # Plain text (wiki) has no labels: every token but the padding is learned.
        trained = int((row["labels"] != IGNORE_TOKEN_ID).sum()) if "labels" in row else used
        tally.add_row(used, trained, int(ids.max()))
        if not trained:
            tally.mask("all_ignored", MaskedExample(str(number), "every label is ignored", used))
        progress(Progress(number, 0, "rows"))
    return tally.report(str(path), "mindrecord", seq_length)
