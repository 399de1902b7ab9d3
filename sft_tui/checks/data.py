"""Checks what the data will become: columns, tokenizer, template, and what the first records tell."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.dataset.audit.limits import reason_text
from sft_tui.dataset.audit.report import COVERED, AuditReport
from sft_tui.dataset.read.inspect import DataReport
from sft_tui.dataset.read.remarks import remark_lines
from sft_tui.dataset.read.sources import parse_columns
from sft_tui.dataset.template.chat import CHAT
from sft_tui.dataset.template.layouts import check_template, suggest_template
from sft_tui.dataset.template.taught_end import describe_mismatch
from sft_tui.dataset.tokenizer.hf import PAIRS_SINCE
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import SftError
from sft_tui.stack.releases import version_key


def read_columns(profile: Profile) -> tuple[dict[str, str], list[Problem]]:
    """Which fields of the data file hold what, as the profile says."""
    try:
        return parse_columns(profile.dataset.columns), []
    except SftError as error:
        return {}, [Problem("dataset.columns", error.message, error.hint)]


def check_tokenizer(path: Path, tokenizer: Tokenizer, checkpoint: CheckpointReport) -> list[Problem]:
    """It has no more pieces than the model has embeddings."""
    vocab = tokenizer.vocab_size
    if checkpoint.config is not None and vocab > checkpoint.config.vocab_size:
        message = f"{path} has {vocab} pieces, the model only {checkpoint.config.vocab_size} embeddings."
        hint = "Use the tokenizer.model that belongs to this checkpoint."
        return [Problem("model.tokenizer_model", message, hint)]
    return []


def check_merges(path: Path, tokenizer: Tokenizer, environment: EnvironmentFacts) -> list[Problem]:
    """The training interpreter can read tokenizer.json: before 0.20 `tokenizers` knows no merges as pairs."""
    found = environment.packages.get("tokenizers", "")
    if not found or not getattr(tokenizer, "merges_as_pairs", False):
        return []
    if version_key(found) >= version_key(PAIRS_SINCE):
        return []
    message = f"{path} has its merges as pairs, which tokenizers {found} of {environment.python} cannot read."
    hint = f"MindFormers {environment.mindformers_version} wants that version: use a tokenizer.json of its time."
    return [Problem("model.tokenizer_model", message, hint, exit_code=4)]


def look_at_samples(
    path: Path, tokenizer: Tokenizer, template: str, seq_length: int, columns: dict[str, str], model_dir: Optional[Path]
) -> tuple[Optional[AuditReport], list[Problem]]:
    """The first records as they would be encoded; or why they cannot be, by the template or the data."""
    from sft_tui.dataset.audit.sample import audit_sample

    try:
        check_template(template, tokenizer)
    except SftError as error:
        return None, [template_problem(template, error, tokenizer)]
    try:
        return audit_sample(path, tokenizer, template, seq_length, tuple(columns.items()), model_dir), []
    except SftError as error:
        return None, [Problem("dataset.train_path", error.message, error.hint)]


def template_problem(template: str, error: SftError, tokenizer: Optional[Tokenizer] = None) -> Problem:
    """The template, or the tokenizer that it goes with, cannot be used; with one that can, where there is one."""
    if template == CHAT:
        hint = "It belongs into the model folder: take it from the model's own page."
        return Problem("dataset.template", error.message, hint)
    better = suggest_template(tokenizer) if tokenizer is not None else ""
    hint = f"Use {better}: the chat template of the model's own folder." if better == CHAT else error.hint
    return Problem("dataset.template", error.message, hint, proposal=better or None)


def check_end(sample: AuditReport, template: str) -> list[Problem]:
    """Generation stops at the token that is taught."""
    if sample.end is None or sample.end.agrees:
        return []
    return [Problem("dataset.template", *describe_mismatch(sample.end, template), "warning")]


def check_samples(sample: AuditReport, profile: Profile) -> list[Problem]:
    """What the first records tell: they can be written with the template, and answers are not cut away."""
    problems = []
    dataset = profile.dataset
    if sample.rejected and dataset.on_error == "fail":
        message = f"{sample.rejected} of the first {sample.rejected + sample.rows} records cannot be used. "
        hint = "Mend them, or let them be skipped (Bad records: skip)."
        problems.append(Problem("dataset.train_path", message + sample.rejected_reason, hint))
    if sample.masked == sample.rows:
        return [*problems, _nothing_learned(sample)]
    if sample.masked > dataset.max_masked * sample.rows:
        problems.append(_too_many_masked(sample, dataset.max_masked))
    if sample.cut and sample.cut > dataset.warn_cut * sample.rows:
        message = f"{sample.cut} of the first {sample.rows} records are longer and will be cut."
        length = _length_for_all(sample)
        hint = f"Use {length} to keep them whole, or accept it."
        problems.append(Problem("dataset.seq_length", message, hint, "warning", proposal=length))
    return problems


def _nothing_learned(sample: AuditReport) -> Problem:
    if sample.masked_reasons.get("cut_off", 0) < sample.masked:
        message = f"Nothing is to be learned of the {sample.rows} records looked at: {_worst_reason(sample)}."
        return Problem("dataset.train_path", message, "Look at one of them: Dataset (F4), ctrl+g.")
    message = f"Nothing is left to learn: all {sample.rows} records looked at are cut before their answer begins."
    length = _length_for_all(sample)
    return Problem("dataset.seq_length", message, f"Use a sequence length of {length}.", proposal=length)


def _too_many_masked(sample: AuditReport, allowed: float) -> Problem:
    """Preprocessing will refuse the data: an error, with the value that would do."""
    share = min(1.0, (int(100 * sample.masked / sample.rows) + 1) / 100)
    message = (
        f"{sample.masked} of the first {sample.rows} records are fully masked, mostly because "
        f"{_worst_reason(sample)}; more than {allowed:.0%} are refused."
    )
    if 2 * sample.masked_reasons.get("cut_off", 0) >= sample.masked:
        length = _length_for_all(sample)
        hint = f"Use a sequence length of {length}, or allow {share:.2f} (Masked at most)."
        return Problem("dataset.seq_length", message, hint, proposal=length)
    hint = f"Look at the records (Dataset, ctrl+g), or allow {share:.2f} (Masked at most)."
    return Problem("dataset.max_masked", message, hint)


def _worst_reason(sample: AuditReport) -> str:
    return reason_text(max(sample.masked_reasons, key=lambda name: sample.masked_reasons[name]))


def _length_for_all(sample: AuditReport) -> int:
    return next(item.seq_length for item in sample.suggestions if item.covered == max(COVERED))


def check_unread_fields(profile: Profile, report: DataReport) -> list[Problem]:
    """Fields of the records that are not read, each once with its count."""
    unread = report.remarks.get("unread", {})
    if not unread or profile.dataset.on_unread == "ignore":
        return []
    message = f"{report.path}: " + " ".join(remark_lines({"unread": unread}))
    if profile.dataset.on_unread == "fail":
        return [Problem("dataset.on_unread", message, "Remove these fields, or choose warn.")]
    return [Problem("dataset.train_path", message, "Fields that are not read are not trained on.", "warning")]
