"""Looks through a whole data file, counts what it holds, and collects what is wrong with it."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple, Union

from sft_tui.core.problem import Problem
from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.read.alpaca import HINT, AlpacaRecord
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.remarks import RemarkCounts
from sft_tui.dataset.read.sources import inspect_source, parse_records
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

MAX_PROBLEMS = 5


@dataclass(frozen=True)
class DataReport:
    """What a data file holds. `count` counts the good records, `problem_count` all that is wrong.

    `size` is in bytes; `problems` are the first five. `description` says what kind of file it is, and how it is read;
    `remarks`, by kind and name, how many records have fields that are not read, or read in a way to know of.
    `is_text`: it is plain text, and `count` its passages, in a long text about so many.
    """

    path: str
    size: int
    count: int
    with_input: int
    empty_outputs: int
    problem_count: int
    problems: Tuple[Problem, ...]
    description: str = ""
    remarks: Dict[str, Dict[str, int]] = dataclasses.field(default_factory=dict)
    is_text: bool = False

    def to_json(self) -> Dict[str, object]:
        """The report as a JSON object."""
        return asdict(self)


def inspect_data(
    path: Path,
    field: str = "dataset.train_path",
    progress: ProgressCallback = no_progress,
    columns: Optional[Mapping[str, str]] = None,
) -> DataReport:
    """Look through a whole data file, of any layout; what is wrong with it is tied to the profile's `field`."""
    count = with_input = empty_outputs = problem_count = 0
    problems: List[Problem] = []
    remarks = RemarkCounts()
    try:
        for record in parse_records(path, columns, progress):
            if not isinstance(record, BadRecord):
                count += 1
                with_input += isinstance(record, AlpacaRecord) and bool(record.input)
                empty_outputs += _answers_nothing(record)
                remarks.add(record.remarks)
                continue
            problem_count += 1
            if len(problems) < MAX_PROBLEMS:
                error = record.error()
                problems.append(Problem(field, error.message, error.hint))
    except (InvalidInputError, EnvironmentNotFitError) as error:
        problem_count += 1
        problems = problems[: MAX_PROBLEMS - 1]
        problems.append(Problem(field, error.message, error.hint, exit_code=error.exit_code))
    if not count and not problems:
        problem_count = 1
        problems.append(Problem(field, f"{path} holds no record.", HINT))
    size = path.stat().st_size if path.is_file() else 0
    described = _describe(path, columns) if count else ""
    return DataReport(
        str(path), size, count, with_input, empty_outputs, problem_count, tuple(problems), described, remarks.to_json()
    )


def _describe(path: Path, columns: Optional[Mapping[str, str]]) -> str:
    source = inspect_source(path, columns)
    kind = {"json": "a JSON list", "jsonl": "JSON Lines", "csv": "CSV", "parquet": "Parquet"}[source.container]
    used = ", ".join(f"{ours}={name}" for ours, name in source.columns.items() if ours != name)
    how = "guessed" if source.guessed else "as given"
    return f"{source.layout} records, {kind}" + (f", columns {how}: {used}" if used else "")


def _answers_nothing(record: Union[AlpacaRecord, Conversation]) -> bool:
    if isinstance(record, AlpacaRecord):
        return not record.output
    return not any(turn.text for turn in record.turns if turn.speaker == "gpt")
