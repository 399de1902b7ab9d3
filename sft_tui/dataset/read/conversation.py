"""Reads records that are conversations already, and defines the Conversation that all records become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple, Union

from sft_tui.dataset.read.alpaca import AlpacaRecord
from sft_tui.dataset.read.bad_record import (
    BadRecord,
    FieldError,
    as_text,
    json_kind,
    optional_text,
    shorten,
    show_names,
    text_of,
)

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
CONVERSATION_FIELDS = ("conversations", "messages")
# Who speaks, as ShareGPT, OpenAI and Gemma call them, in the words of MindFormers.
ROLES = {
    "human": "human",
    "user": "human",
    "gpt": "gpt",
    "assistant": "gpt",
    "model": "gpt",
    "chatgpt": "gpt",
    "bot": "gpt",
    "system": "system",
}
_HINT = (
    'Each record looks like {"id": "1", "conversations": [{"from": "human", "value": "..."}, '
    '{"from": "gpt", "value": "..."}]}, or {"messages": [{"role": "user", "content": "..."}, ...]}.'
)


@dataclass(frozen=True)
class Turn:
    """One message. `speaker` is "human", "gpt" or "system"."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """The turns of one record. `number` counts from 1 in its file; `id` is the file's own, else the number."""

    number: int
    id: str
    turns: Tuple[Turn, ...]


def build_conversation(record: AlpacaRecord) -> Conversation:
    """One question, one answer; the id is the record's number (MindFormers alpaca_converter).

    A system text and a history, which that one does not know, come first; each question of the history stands in
    the prompt that it would have had alone.
    """
    turns: List[Turn] = [Turn("system", record.system)] if record.system else []
    for question, answer in record.history:
        turns += (Turn("human", _prompt(question, "")), Turn("gpt", answer))
    turns += (Turn("human", _prompt(record.instruction, record.input)), Turn("gpt", record.output))
    return Conversation(record.number, str(record.number), tuple(turns))


def _prompt(instruction: str, given: str) -> str:
    prompt = PROMPT_WITH_INPUT if given else PROMPT_WITHOUT_INPUT
    return prompt.format(instruction=instruction, input=given)


def parse_conversation(path: Path, number: int, item: object, field: str = "") -> Union[Conversation, BadRecord]:
    """Check one record whose turns are in `field`, by default `conversations` or else `messages`."""
    if isinstance(item, BadRecord):
        return item
    try:
        if not isinstance(item, dict):
            raise FieldError("", f"is {json_kind(item)}, not an object.")
        known = (name for name in CONVERSATION_FIELDS if name in item)
        return _parse(number, item, field or next(known, CONVERSATION_FIELDS[0]))
    except FieldError as error:
        return error.at(path, number, _HINT)


def _parse(number: int, item: Dict[str, object], field: str) -> Conversation:
    if field not in item:
        hint = "This looks like an alpaca file: run convert-alpaca on it first." if "instruction" in item else ""
        raise FieldError(field, f"has no field `{field}`; its fields: {show_names(item)}.", hint)
    name = item.get("id")
    if isinstance(name, bool) or not isinstance(name, (str, int, type(None))):
        raise FieldError("id", f"field `id` is {json_kind(name)}, not a string.")
    name = text_of(item, "id") if isinstance(name, str) else name
    value = item[field]
    if not isinstance(value, list):
        raise FieldError(field, f"field `{field}` is {json_kind(value)}, not a list.")
    if not value:
        raise FieldError(field, f"field `{field}` is an empty list.", "Remove the record.")
    turns = [_parse_turn(f"{field}[{index}]", turn) for index, turn in enumerate(value)]
    # LLaMA-Factory has the system text beside the turns; one among them wins there as well.
    system = optional_text(item, "system")
    if system and turns[0].speaker != "system":
        turns.insert(0, Turn("system", system))
    return Conversation(number, str(number if name is None else name), tuple(turns))


def _parse_turn(where: str, turn: object) -> Turn:
    if not isinstance(turn, dict):
        raise FieldError(where, f"{where} is {json_kind(turn)}, not an object.")
    by, of = ("role", "content") if "from" not in turn and "role" in turn else ("from", "value")
    for name in (by, of):
        if name not in turn:
            raise FieldError(f"{where}.{name}", f"{where} has no field `{name}`; its fields: {show_names(turn)}.")
    role = as_text(turn[by], f"{where}.{by}")
    if role not in ROLES:
        raise FieldError(
            f"{where}.{by}",
            f"{where} is from `{shorten(role)}`, whose words cannot be trained on.",
            f"Known are {show_names(ROLES)}: rename it or remove the record.",
        )
    return Turn(ROLES[role], as_text(turn[of], f"{where}.{of}"))
