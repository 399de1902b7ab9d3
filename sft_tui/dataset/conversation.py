"""Turns alpaca records into conversations, and reads conversations back."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, TextIO, Tuple

from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.json_stream import stream_items
from sft_tui.dataset.records import AlpacaRecord, json_kind, read_alpaca
from sft_tui.errors import InvalidInputError
from sft_tui.whole_file import open_whole_file

# The prompts that Stanford Alpaca was trained with (tatsu-lab/stanford_alpaca, train.py).
PROMPT_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
PROMPT_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
_CONVERSATION_HINT = (
    'Each record looks like {"id": "1", "conversations": [{"from": "human", "value": "..."}, '
    '{"from": "gpt", "value": "..."}]}.'
)


@dataclass(frozen=True)
class Turn:
    """One message. `speaker` is what the file has under `from`: "human" or "gpt"."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """The turns of one record. `number` counts from 1 in its file; `id` is the file's own, else the number."""

    number: int
    id: str
    turns: Tuple[Turn, ...]


@dataclass(frozen=True)
class ConversionResult:
    """What `convert_alpaca` wrote: `records` in `output`, `eval_records` in the evaluation file."""

    records: int
    eval_records: int
    output: Path
    seconds: float
    eval_output: Optional[Path] = None


def build_conversation(record: AlpacaRecord) -> Conversation:
    """One question, one answer; the id is the record's number (MindFormers alpaca_converter)."""
    prompt = PROMPT_WITH_INPUT if record.input else PROMPT_WITHOUT_INPUT
    question = prompt.format(instruction=record.instruction, input=record.input)
    turns = (Turn("human", question), Turn("gpt", record.output))
    return Conversation(record.number, str(record.number), turns)


def convert_alpaca(
    data_path: Path,
    output_path: Path,
    *,
    eval_output_path: Optional[Path] = None,
    eval_fraction: float = 0.0,
    progress: ProgressCallback = no_progress,
) -> ConversionResult:
    """Write an alpaca file as conversations, the very bytes that MindFormers alpaca_converter writes.

    With `eval_output_path`, `eval_fraction` of the records (evenly spread, at least one, never all) goes there and
    not to `output_path`; ids keep the numbers of the source. `progress` hears of bytes. Outputs from before are
    kept until the new ones are whole. Raises InvalidInputError, EnvironmentNotFitError.
    """
    started = time.monotonic()
    _check_paths(data_path, output_path, eval_output_path, eval_fraction)
    total = held_out = 0
    if eval_output_path is not None:
        total = sum(1 for _ in read_alpaca(data_path))
        held_out = count_held_out(total, eval_fraction)
        if not held_out:
            raise InvalidInputError(
                f"{data_path} holds {total} record(s): too few to hold some out for evaluation.",
                "Use a file with more records.",
            )
    written = 0
    with ExitStack() as stack:
        train: Optional[_ListWriter] = None
        evaluation: Optional[_ListWriter] = None
        for record in read_alpaca(data_path, progress):
            if train is None:
                # Opened with the first good record, so that bad input leaves not even a new folder behind.
                train = stack.enter_context(_open_list(output_path))
                if eval_output_path is not None:
                    evaluation = stack.enter_context(_open_list(eval_output_path))
            to_eval = evaluation is not None and _is_held_out(record.number - 1, total, held_out)
            target = evaluation if to_eval and evaluation is not None else train
            target.write(build_conversation(record))
            written += 1
        if train is None:
            raise InvalidInputError(f"{data_path} holds no record.", "Give a file with at least one record.")
    return ConversionResult(written - held_out, held_out, output_path, time.monotonic() - started, eval_output_path)


def _check_paths(data: Path, output: Path, evaluation: Optional[Path], fraction: float) -> None:
    outputs = [output] if evaluation is None else [output, evaluation]
    resolved = [path.resolve() for path in outputs]
    if data.resolve() in resolved:
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


def count_held_out(total: int, fraction: float) -> int:
    """How many of `total` records `convert_alpaca` holds out: at least one, never all; 0 of fewer than two."""
    if fraction <= 0.0 or total < 2:
        return 0
    return min(max(1, round(total * fraction)), total - 1)


def _is_held_out(index: int, total: int, held_out: int) -> bool:
    """Whether record `index` (from 0) is one of `held_out` evenly spread over `total`."""
    half = total // 2
    return ((index + 1) * held_out + half) // total > (index * held_out + half) // total


class _ListWriter:
    """Writes conversations as `json.dump(list, ensure_ascii=False, indent=2)` would, one at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._separator = "[\n"

    def write(self, conversation: Conversation) -> None:
        """Append one conversation. json's own indenting encoder is pure Python and three times as slow."""
        turns = ",\n".join(
            f'      {{\n        "from": {_quote(turn.speaker)},\n        "value": {_quote(turn.text)}\n      }}'
            for turn in conversation.turns
        )
        self._stream.write(
            f'{self._separator}  {{\n    "id": {_quote(conversation.id)},\n    "conversations": [\n{turns}\n    ]\n  }}'
        )
        self._separator = ",\n"

    def close(self) -> None:
        """End the list."""
        self._stream.write("\n]" if self._separator == ",\n" else "[]")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@contextmanager
def _open_list(path: Path) -> Iterator[_ListWriter]:
    with open_whole_file(path) as stream:
        writer = _ListWriter(stream)
        yield writer
        writer.close()


def read_conversations(path: Path, progress: ProgressCallback = no_progress) -> Iterator[Conversation]:
    """Yield the conversations of a file, checked, in constant memory; `progress` hears of bytes.

    Raises InvalidInputError that names the file, the record and the field. A record without `id` gets its number,
    because MindFormers llama_preprocess does not look at ids.
    """
    for number, item in stream_items(path, progress):
        yield parse_conversation(path, number, item)


def parse_conversation(path: Path, number: int, item: object) -> Conversation:
    """Check one item of a file of conversations; raises InvalidInputError that names the record and the field."""
    where = f"{path}: record {number}"
    if not isinstance(item, dict):
        raise InvalidInputError(f"{where} is {json_kind(item)}, not an object.", _CONVERSATION_HINT)
    if "conversations" not in item:
        present = ", ".join(f"`{key}`" for key in item) or "none"
        hint = _CONVERSATION_HINT
        if "instruction" in item:
            hint = "This looks like an alpaca file: run convert-alpaca on it first."
        raise InvalidInputError(f"{where} has no field `conversations`; its fields: {present}.", hint)
    name = item.get("id", number)
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise InvalidInputError(f"{where}: field `id` is {json_kind(name)}, not a string.", _CONVERSATION_HINT)
    turns = item["conversations"]
    if not isinstance(turns, list):
        kind = json_kind(turns)
        raise InvalidInputError(f"{where}: field `conversations` is {kind}, not a list.", _CONVERSATION_HINT)
    if not turns:
        raise InvalidInputError(f"{where}: field `conversations` is an empty list.", "Remove the record.")
    parsed = tuple(_parse_turn(f"{where}: conversations[{index}]", turn) for index, turn in enumerate(turns))
    return Conversation(number, str(name), parsed)


def _parse_turn(where: str, turn: object) -> Turn:
    if not isinstance(turn, dict):
        raise InvalidInputError(f"{where} is {json_kind(turn)}, not an object.", _CONVERSATION_HINT)
    for name in ("from", "value"):
        if name not in turn:
            raise InvalidInputError(f"{where} has no field `{name}`.", _CONVERSATION_HINT)
        if not isinstance(turn[name], str):
            raise InvalidInputError(
                f"{where}: field `{name}` is {json_kind(turn[name])}, not a string.", _CONVERSATION_HINT
            )
    return Turn(turn["from"], turn["value"])
