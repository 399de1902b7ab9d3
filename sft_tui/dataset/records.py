"""Reads instruction records from the file a user has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from sft_tui.core.problem import Problem
from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.json_stream import stream_items
from sft_tui.errors import InvalidInputError

MAX_PROBLEMS = 5
_ALPACA_HINT = 'Each record looks like {"instruction": "...", "input": "...", "output": "..."}; `input` may be missing.'


@dataclass(frozen=True)
class AlpacaRecord:
    """One record in the format of Stanford Alpaca. `number` counts from 1 in its file; no input is ""."""

    number: int
    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class AlpacaReport:
    """What an alpaca file holds. `count` counts the good records, `problem_count` all that is wrong.

    `size` is in bytes; `problems` are the first five.
    """

    path: str
    size: int
    count: int
    with_input: int
    empty_outputs: int
    problem_count: int
    problems: Tuple[Problem, ...]

    def to_json(self) -> Dict[str, object]:
        """The report as a JSON object."""
        return asdict(self)


def read_alpaca(path: Path, progress: ProgressCallback = no_progress) -> Iterator[AlpacaRecord]:
    """Yield the records of an alpaca file, a JSON list, in constant memory.

    `progress` hears of bytes. Raises InvalidInputError that names the file, the record and the field.
    """
    for number, item in stream_items(path, progress):
        yield parse_alpaca(path, number, item)


def inspect_alpaca(
    path: Path, field: str = "dataset.train_path", progress: ProgressCallback = no_progress
) -> AlpacaReport:
    """Look through a whole alpaca file and collect what is wrong with it, tied to the profile's `field`."""
    count = with_input = empty_outputs = 0
    problems: List[Problem] = []
    problem_count = 0
    items = stream_items(path, progress)
    while True:
        try:
            number, item = next(items)
            record = parse_alpaca(path, number, item)
        except StopIteration:
            break
        except InvalidInputError as error:
            # After an error of the file itself the stream is at its end; after one of a record it goes on.
            problem_count += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(Problem(field, error.message, error.hint))
            continue
        count += 1
        with_input += bool(record.input)
        empty_outputs += not record.output
    if not count and not problems:
        problem_count = 1
        problems.append(Problem(field, f"{path} holds no record.", _ALPACA_HINT))
    size = path.stat().st_size if path.is_file() else 0
    return AlpacaReport(str(path), size, count, with_input, empty_outputs, problem_count, tuple(problems))


def parse_alpaca(path: Path, number: int, item: object) -> AlpacaRecord:
    """Check one item of an alpaca file. An `input` that is null counts as none.

    Raises InvalidInputError that names the record and the field.
    """
    where = f"{path}: record {number}"
    if not isinstance(item, dict):
        raise InvalidInputError(f"{where} is {json_kind(item)}, not an object.", _ALPACA_HINT)
    if "conversations" in item and "output" not in item:
        raise InvalidInputError(
            f"{where} has `conversations`: the file looks like ShareGPT or an already converted one, not alpaca.",
            "A converted file goes straight to preprocess (--input_glob).",
        )
    for name in ("instruction", "output"):
        if name not in item:
            present = ", ".join(f"`{key}`" for key in item) or "none"
            raise InvalidInputError(f"{where} has no field `{name}`; its fields: {present}.", _ALPACA_HINT)
    instruction = _text(where, item, "instruction")
    if not instruction.strip():
        raise InvalidInputError(f"{where}: field `instruction` is empty.", "Fill it in or remove the record.")
    given = "" if item.get("input") is None else _text(where, item, "input")
    return AlpacaRecord(number, instruction, given, _text(where, item, "output"))


def _text(where: str, item: Dict[str, object], name: str) -> str:
    value = item[name]
    if not isinstance(value, str):
        raise InvalidInputError(f"{where}: field `{name}` is {json_kind(value)}, not a string.", _ALPACA_HINT)
    return value


def json_kind(value: object) -> str:
    """What JSON calls a value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "a string" if isinstance(value, str) else "a number"
