"""What the Dataset screen shows of plain text, and which of its fields go with it."""

from __future__ import annotations

from sft_tui.core.terminal_text import short_size
from sft_tui.dataset.read.remarks import remark_lines
from sft_tui.tui.session import Session

OF_TEXT = frozenset({"clean", "keep_all"})
OF_RECORDS = frozenset(
    {"columns", "template", "pack", "on_error", "max_rejected", "on_unread", "max_masked", "warn_cut"}
)
_CLEANED = {
    "wikitext": "cleaned as WikiText: its spacing undone, headings left out",
    "none": "not cleaned: the text as it is",
}


def is_plain(session: Session) -> bool:
    """The data is plain text: as was found, else as is chosen."""
    train = session.findings.train if session.findings else None
    return train.is_text if train is not None else session.data.get("dataset", {}).get("kind") == "text"


def text_lines(session: Session) -> list[str]:
    """Passages, tokens and rows of the files, what is left out of them, and how the text begins."""
    assert session.findings is not None
    findings, text = session.findings, session.findings.text
    lines = ["Found"]
    for name, report in (("training", findings.train), ("held out", findings.evaluation)):
        if report is not None:
            lines.append(f"{name:9} {report.path}: {short_size(report.size)}")
            lines += [f"          {report.description}"] if report.description else []
            lines += [f"! {p.message} {p.hint}" for p in report.problems]
    if text is None or session.readable is None:
        return lines
    train = text.train
    about = "" if train.counted else "about "
    lines.append(f"train on {about}{train.passages - train.held_out} passages, {about}{train.tokens:,} tokens")
    length, shifted = session.readable.dataset.seq_length, text.facts.shifted
    rows = f"{text.made_rows or about + str(text.train_rows)} rows of {length + (not shifted)} tokens"
    lines.append(f"{rows}{', as they were made' * bool(text.made_rows)}; passages run on from row to row")
    if text.evaluation is not None:
        about = "" if text.evaluation.counted else "about "
        held_out = f"{about}{text.evaluation.passages} passages, {about}{text.evaluation.tokens:,} tokens"
    else:
        held_out = f"{about}{train.held_out} passages, {about}{train.held_out_tokens:,} tokens"
    lines.append(
        f"hold out {held_out}: {about}{text.eval_rows} rows of {length}" if text.eval_rows else "hold out nothing"
    )
    lines.append("all tokens are trained on" + (", each labelled with the one behind it" if shifted else ""))
    lines.append(_CLEANED[text.reading.clean])
    left_out = remark_lines({"left_out": train.left_out})
    lines += [line if train.counted else f"in its first part {line}" for line in left_out]
    return [*lines, "", "It begins", *train.begins.split("\n")]
