"""Checks plain text as training data: that it is text, and that it fills rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from sft_tui.checks.kept import Kept
from sft_tui.checks.tokenizer_path import text_tokenizer
from sft_tui.core.facts import TextFacts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.dataset.audit.text_sample import TextSample, inspect_text, sample_text
from sft_tui.dataset.mindrecord.manifest import load_manifest, stamp_file
from sft_tui.dataset.read.inspect import DataReport
from sft_tui.dataset.text.passages import HEADINGS, REST, Clean, TextReading, text_columns
from sft_tui.dataset.text.text_file import TextFile, find_text_file, is_meant_as_text
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import SftError
from sft_tui.families.table import FAMILIES
from sft_tui.files.stamps import stamp
from sft_tui.launch.plan.work_paths import work_paths

_samples: Kept[TextSample] = Kept(8)
_files: Kept[TextFile] = Kept()


@dataclass(frozen=True)
class TextFindings:
    """What plain text makes: `train_rows` to train on, `eval_rows` held out.

    `made_rows` are those of the MindRecord for training that was made of this very text; 0: there is none.
    """

    reading: TextReading
    facts: TextFacts
    train: TextSample
    evaluation: Optional[TextSample]
    train_rows: int
    eval_rows: int
    made_rows: int = 0


def is_text(profile: Profile) -> bool:
    """The profile trains on plain text: it says so, or leaves it to the file."""
    data = profile.dataset
    if data.kind != "auto":
        return data.kind == "text"
    return bool(data.train_path) and is_meant_as_text(Path(data.train_path))


def inspect_text_file(path: Path, field: str) -> DataReport:
    """Look through a whole file of plain text; what is wrong with it is tied to the profile's `field`."""
    size = path.stat().st_size if path.is_file() else 0
    try:
        found = inspect_text(path)
    except SftError as error:
        problems = (Problem(field, error.message, error.hint, exit_code=error.exit_code),)
        return DataReport(str(path), size, 0, 0, 0, 1, problems, is_text=True)
    return DataReport(str(path), size, found.passages, 0, 0, 0, (), found.kind, is_text=True)


def text_reading(profile: Profile) -> TextReading:
    """How the text is read: what is left to the file is asked of it. Raises SftError."""
    data, family = profile.dataset, FAMILIES[profile.model.family]
    clean: Clean = "none"
    if data.clean != "auto":
        clean = data.clean
    elif _has_marks(data.train_path):
        clean = "wikitext"
    return TextReading(family.text_layout, clean, data.keep_all)


def _has_marks(path: str) -> bool:
    """It has the marks of WikiText. To know of blank lines too may take a look at all of a long file."""
    return _files.get((path, stamp(Path(path))), lambda: find_text_file(Path(path))).wikitext


def look_at_text(
    profile: Profile, path: Path, load: Callable[[Path], Tokenizer]
) -> tuple[Optional[TextFindings], list[Problem]]:
    """Passages, tokens and rows of the files, and what is wrong with them. They were looked through before.

    `path` is the tokenizer, or the folder that has it; that the model has its ids was seen before as well.
    """
    field = "dataset.train_path"
    data, evaluates, shifted = (
        profile.dataset,
        profile.training.evaluate,
        FAMILIES[profile.model.family].labels == "shifted",
    )
    fraction = data.eval_fraction if evaluates and not data.eval_path else 0.0
    try:
        tokenizer = load(text_tokenizer(path, shifted=shifted))
    except SftError as error:
        return None, [Problem("model.tokenizer_model", error.message, error.hint)]
    try:
        reading = text_reading(profile)
        train = _keep_sample(data.train_path, tokenizer, reading, fraction)
        field = "dataset.eval_path"
        evaluation = _keep_sample(data.eval_path, tokenizer, reading, 0.0) if data.eval_path else None
    except SftError as error:
        return None, [Problem(field, error.message, error.hint)]
    except OSError as error:
        return None, [Problem(field, f"{error.filename}: {error.strerror}.", "Check the path.")]
    columns = text_columns(reading, shifted=shifted)
    length, keep_all = data.seq_length, data.keep_all
    found = TextFindings(
        reading,
        TextFacts(reading.clean, columns, shifted, train.counted),
        train,
        evaluation,
        train_rows=train.rows(length + (not shifted), shifted=shifted, keep_all=keep_all),
        eval_rows=_eval_rows(train, evaluation, length, shifted=shifted, keep_all=keep_all) if evaluates else 0,
    )
    found = replace(found, made_rows=_count_made_rows(profile, found, tokenizer.path, shifted=shifted))
    return found, [*_reading_problems(profile, found), *_row_problems(profile, found, length + (not shifted))]


def _keep_sample(path: str, tokenizer: Tokenizer, reading: TextReading, fraction: float) -> TextSample:
    key = path, stamp(Path(path)), tokenizer.path, stamp(tokenizer.path), reading, fraction
    return _samples.get(key, lambda: sample_text(Path(path), tokenizer, reading, fraction))


def _eval_rows(
    train: TextSample, evaluation: Optional[TextSample], length: int, *, shifted: bool, keep_all: bool
) -> int:
    if evaluation is not None:
        return evaluation.rows(length, shifted=shifted, keep_all=keep_all)
    return train.rows(length, shifted=shifted, keep_all=keep_all, held_out=True)


def _reading_problems(profile: Profile, found: TextFindings) -> list[Problem]:
    """What is lost of the text, or changed in it."""
    data, problems = profile.dataset, []
    if data.clean == "wikitext" and not _has_marks(data.train_path):
        message = (
            f"{data.train_path} has no marks of WikiText: its rules change such a text, ` N ` to ` 1 ` and the like."
        )
        problems.append(Problem("dataset.clean", message, "Choose none.", "warning", proposal="none"))
    for path, sample in ((data.train_path, found.train), (data.eval_path, found.evaluation)):
        lost = {name: n for name, n in (sample.left_out if sample else {}).items() if name not in (HEADINGS, REST)}
        if lost:
            named = ", ".join(f"{count:,} {name}" for name, count in lost.items())
            message = f"Of {path} is left out, as by MindFormers' script: {named}."
            problems.append(Problem("dataset.keep_all", message, "Choose yes to keep that.", "warning"))
    return problems


def _row_problems(profile: Profile, found: TextFindings, length: int) -> list[Problem]:
    """Each file fills a row, and something can be held out."""
    data = profile.dataset
    if not found.train_rows:
        return [_too_short("dataset.train_path", data.train_path, found.train.tokens, length)]
    if not profile.training.evaluate or found.eval_rows:
        return []
    if found.evaluation is not None:
        return [_too_short("dataset.eval_path", data.eval_path, found.evaluation.tokens, data.seq_length)]
    if not data.eval_fraction:
        return []
    if not found.train.held_out:
        message = f"{data.train_path} has {found.train.passages} passage(s): too few to hold some out."
        hint = "Name a held-out file, part the text by blank lines, or hold out 0."
        return [Problem("dataset.eval_fraction", message, hint)]
    tokens = found.train.held_out_tokens
    message = f"{found.train.held_out} passage(s) are held out, {tokens} tokens: less than a row of {data.seq_length}."
    all_tokens = tokens + found.train.tokens
    share = math.ceil(100 * (data.seq_length + 1) / all_tokens) / 100 + data.eval_fraction
    hint = "Hold out more, or name a held-out file; or keep all: the row is then filled up with padding."
    proposal = round(share, 2) if share <= 0.5 else None
    return [Problem("dataset.eval_fraction", message, hint, proposal=proposal)]


def _too_short(field: str, path: str, tokens: int, length: int) -> Problem:
    message = f"{path} has {tokens} tokens in all: it does not fill a single row of {length}."
    hint = "Give more text, or a smaller sequence length; or keep all: the row is then filled up with padding."
    return Problem(field, message, hint)


def _count_made_rows(profile: Profile, found: TextFindings, tokenizer: Path, *, shifted: bool) -> int:
    made = load_manifest(Path(work_paths(profile).mindrecord("train")))
    data, reading = profile.dataset, found.reading
    if made is None or made.work.dataset_type != "wiki":
        return 0
    work = made.work
    fraction = data.eval_fraction if found.eval_rows and not data.eval_path else 0.0
    try:
        same = work.inputs == (stamp_file(Path(data.train_path)),) and work.model_file == stamp_file(tokenizer)
    except OSError:
        return 0
    asked = (data.seq_length, reading.layout, reading.clean, reading.keep_all, fraction, shifted)
    told = (work.seq_length, work.layout, work.clean, work.keep_all, work.eval_fraction, work.labels == "shifted")
    return made.rows if same and asked == told else 0
