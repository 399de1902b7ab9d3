"""Writes an audit as lines for people."""

from __future__ import annotations

from typing import List, Tuple

from sft_tui.dataset.audit.report import AuditReport, MaskedExample
from sft_tui.dataset.read.remarks import remark_lines

BAR_WIDTH = 40


def audit_lines(report: AuditReport) -> List[str]:
    """Everything that an audit says."""
    lines = [
        f"{report.path}: {report.rows} rows of {report.row_length} tokens, {report.pad_share:.0%} padding",
        f"tokens: {report.tokens}, of which {report.trained_tokens} are learned",
        f"tokens per row: half up to {report.tokens_p50}, 95 % up to {report.tokens_p95}, longest {report.tokens_max}",
        *histogram_lines(report),
        *suggestion_lines(report),
    ]
    if report.cut is not None:
        lines.append(f"cut: {report.cut} of {report.rows} rows ({report.cut / report.rows:.1%})" + _ids(report))
    lines.append(f"nothing to learn in: {report.masked} rows ({report.masked / report.rows:.1%})")
    lines += [_masked_line(finding) for finding in report.masked_examples]
    if report.masked > len(report.masked_examples):
        lines.append(f"    and {report.masked - len(report.masked_examples)} more")
    if report.duplicates:
        lines.append(f"say what one before says: {report.duplicates} rows")
    if report.turns_left_out:
        lines.append(f"first turns that the template has no place for, left out: {report.turns_left_out}")
    if report.rejected:
        lines.append(f"could not be used: {report.rejected} records")
        lines += [f"    {report.rejected_reason}"] if report.rejected_reason else []
    lines += remark_lines(report.remarks)
    if report.end is not None:
        lines.append(f"answers end with {report.end.token}, which is learned")
    return lines


def histogram_lines(report: AuditReport, width: int = BAR_WIDTH) -> List[str]:
    """A bar of at most `width` for each class of lengths; the one that a row's length falls into is marked."""
    most = max(bar.rows for bar in report.histogram)
    digits = max(len(str(most)), 4)
    here = next((bar for bar in report.histogram if report.row_length <= bar.tokens), None)
    lines = [f"  {'tokens':>12} {'rows':>{digits}}"]
    for bar in report.histogram:
        drawn = "#" * max(bar.rows > 0, round(width * bar.rows / most))
        mark = f" < cut at {report.row_length}" if bar == here and report.cut else ""
        lines.append(f"  up to {bar.tokens:>6} {bar.rows:>{digits}} {drawn}".rstrip() + mark)
    return lines


def suggestion_lines(report: AuditReport) -> List[str]:
    """What other sequence lengths would bring."""
    found: List[Tuple[int, str]] = []
    for item in report.suggestions:
        line = f"seq_length {item.seq_length} keeps {item.covered:.0%} whole, with {item.pad_share:.0%} padding"
        if not found or found[-1][0] != item.seq_length:
            found.append((item.seq_length, line))
        else:
            found[-1] = (item.seq_length, line)
    return [line for _, line in found]


def _ids(report: AuditReport) -> str:
    names = ", ".join(finding.id for finding in report.cut_examples)
    more = ", ..." if report.cut and report.cut > len(report.cut_examples) else ""
    return f": ids {names}{more}" if names else ""


def _masked_line(finding: MaskedExample) -> str:
    return f"    id {finding.id}: {finding.reason} ({finding.tokens} tokens)"
