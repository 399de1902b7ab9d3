"""Judges how much of a dataset was lost: an error, worth a warning, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from sft_tui.core.profile_defaults import MAX_MASKED, WARN_CUT
from sft_tui.dataset.audit.report import AuditReport
from sft_tui.dataset.encode.encoded_row import REASONS
from sft_tui.errors import InvalidInputError


@dataclass(frozen=True)
class Limits:
    """Shares of the rows, 0 to 1: more than `max_masked` with nothing to learn is an error, more than `warn_cut` cut
    is worth a warning. `vocab_size` is the model's number of embeddings, 0: not known.
    """

    max_masked: float = MAX_MASKED
    warn_cut: float = WARN_CUT
    vocab_size: int = 0


def check_limits(report: AuditReport, limits: Limits) -> None:
    """Raise InvalidInputError when the data does not fit the model, or too much of it teaches nothing."""
    if limits.vocab_size and report.largest_id >= limits.vocab_size:
        raise InvalidInputError(
            f"{report.path}: token id {report.largest_id} occurs; the model has only {limits.vocab_size} embeddings.",
            "Use the tokenizer that belongs to the model.",
        )
    if report.masked > limits.max_masked * report.rows:
        worst = max(report.masked_reasons, key=lambda name: report.masked_reasons[name])
        raise InvalidInputError(
            f"{report.path}: {report.masked} of {report.rows} rows teach nothing ({report.masked / report.rows:.1%}; "
            f"at most {limits.max_masked:.1%} are allowed), mostly because {reason_text(worst)}.",
            _masked_hint(report) + " --max_masked SHARE allows more.",
        )


def cut_warning(report: AuditReport, limits: Limits) -> Optional[str]:
    """What to say when many rows are cut, else None."""
    if not report.cut or report.cut <= limits.warn_cut * report.rows:
        return None
    longer = next((item for item in report.suggestions if item.covered == 0.99), None)
    advice = f" A seq_length of {longer.seq_length} would keep 99 % of them whole." if longer else ""
    return (
        f"{report.cut} of {report.rows} rows are longer than {report.row_length} tokens and were cut"
        f" ({report.cut / report.rows:.1%}).{advice}"
    )


def _masked_hint(report: AuditReport) -> str:
    away = report.masked_reasons.get("cut_off", 0)
    if 2 * away >= report.masked:
        covering = next((item.seq_length for item in report.suggestions if item.covered == 0.99), 0)
        return f"A larger seq_length helps: {covering} covers 99 % of the rows." if covering else "Use a larger one."
    return "Look at these records: sft-tui audit names them."


def reason_text(name: str) -> str:
    """A reason for people."""
    return REASONS.get(name, name.replace("_", " "))
