"""Reads records that are conversations already, and defines the Conversation that all records become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple, Union

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
from sft_tui.dataset.read.doubled import check_doubled
from sft_tui.dataset.read.remarks import NOT_TRAINED, Remark, find_preference, holds_nothing, preference_reason

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
# Who speaks, as ShareGPT, OpenAI, Gemma and others call them, in the words of MindFormers.
ROLES = {
    "human": "human",
    "user": "human",
    "gpt": "gpt",
    "assistant": "gpt",
    "model": "gpt",
    "chatgpt": "gpt",
    "bot": "gpt",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_call": "gpt",  # LLaMA-Factory: the call as the text of a turn
}
# these are read wherever they stand; another spelling is taken, and said
_USUAL_ROLES = frozenset(ROLES) - {"developer"}
# whether the answer of a turn is trained on, as OpenAI, axolotl and ms-swift mark it
TRAIN_MARKS = ("weight", "train", "training", "loss")
# what the model thought before its answer, as vLLM, OpenRouter and others call it
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
REASONING, TOOL_CALLS, TOOLS = THOUGHTS[0], "tool_calls", "tools"
# what only a chat template can write, by the speaker that has it
_GIVEN = {"gpt": (TOOL_CALLS,), "tool": ("tool_call_id", "name")}
_HINT = (
    'Each record looks like {"id": "1", "conversations": [{"from": "human", "value": "..."}, '
    '{"from": "gpt", "value": "..."}]}, or {"messages": [{"role": "user", "content": "..."}, ...]}.'
)


@dataclass(frozen=True)
class Turn:
    """One message. `speaker` is "human", "gpt", "system" or "tool". `trained`: an answer is to be trained on.

    `given` are other fields of it that a chat template may write, as (name, JSON): reasoning_content, tool_calls.
    """

    speaker: str
    text: str
    trained: bool = True
    given: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Conversation:
    """The turns of one record. `number` counts from 1 in its file; `id` is the file's own, else the number.

    `tools`: what may be called, as JSON, "" for none. `remarks`: what the record says beside that.
    """

    number: int
    id: str
    turns: Tuple[Turn, ...]
    tools: str = ""
    remarks: Tuple[Remark, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether texts by human, gpt and system are all that it says."""
        return not self.tools and not any(turn.given or turn.speaker == "tool" for turn in self.turns)


def build_conversation(record: AlpacaRecord) -> Conversation:
    """One question, one answer; the id is the record's number (MindFormers alpaca_converter).

    A system text and a history, which that one does not know, come first; each question of the history stands in
    the prompt that it would have had alone.
    """
    turns: List[Turn] = [Turn("system", record.system)] if record.system else []
    for question, answer in record.history:
        turns += (Turn("human", _prompt(question, "")), Turn("gpt", answer))
    turns += (Turn("human", _prompt(record.instruction, record.input)), Turn("gpt", record.output))
    return Conversation(record.number, str(record.number), tuple(turns), remarks=record.remarks)


def _prompt(instruction: str, given: str) -> str:
    prompt = PROMPT_WITH_INPUT if given else PROMPT_WITHOUT_INPUT
    return prompt.format(instruction=instruction, input=given)


def parse_conversation(
    path: Path, number: int, item: object, field: str = "", unread: Tuple[Remark, ...] = ()
) -> Union[Conversation, BadRecord]:
    """Check one record whose turns are in `field`, by default `conversations` or else `messages`.

    `unread`: what is known of all records of the file that is not in `item`.
    """
    if isinstance(item, BadRecord):
        return item
    try:
        if not isinstance(item, dict):
            raise FieldError("", f"is {json_kind(item)}, not an object.")
        known = (name for name in CONVERSATION_FIELDS if name in item)
        return _parse(number, item, field or next(known, CONVERSATION_FIELDS[0]), unread)
    except FieldError as error:
        return error.at(path, number, _HINT)


def _parse(number: int, item: Dict[str, object], field: str, unread: Tuple[Remark, ...]) -> Conversation:
    check_doubled(item)
    # a field of another name was given by somebody who knows
    kind = find_preference(item) if field in CONVERSATION_FIELDS else ""
    if kind:
        raise FieldError("", *preference_reason(kind))
    if field not in item:
        hint = "This looks like an alpaca file: run convert-alpaca on it first." if "instruction" in item else ""
        raise FieldError(field, f"has no field `{field}`; its fields: {show_names(item)}.", hint)
    name = item.get("id")
    if isinstance(name, bool) or not isinstance(name, (str, int, type(None))):
        raise FieldError("id", f"field `id` is {json_kind(name)}, not a string.")
    name = text_of(item, "id") if isinstance(name, str) else name
    if isinstance(item[field], dict):
        check_doubled(item[field], field)  # type: ignore[arg-type]
    value = _as_list(item[field])
    if not isinstance(value, list):
        raise FieldError(field, f"field `{field}` is {json_kind(value)}, not a list.")
    if not value:
        raise FieldError(field, f"field `{field}` is an empty list.", "Remove the record.")
    remarks: List[Remark] = [*unread]
    turns = [_parse_turn(f"{field}[{index}]", field, turn, remarks) for index, turn in enumerate(value)]
    # LLaMA-Factory has the system text beside the turns; one among them wins there as well.
    system = optional_text(item, "system")
    if system and turns[0].speaker != "system":
        turns.insert(0, Turn("system", system))
    elif system and system != turns[0].text:
        remarks.append(("unread", "system"))
    tools = _tools(item, remarks)
    remarks += [
        ("unread", shorten(other))
        for other, said in item.items()
        if other not in (field, "id", "system", TOOLS) and not holds_nothing(said)
    ]
    return Conversation(number, str(number if name is None else name), tuple(turns), tools, tuple(remarks))


def _as_list(value: object) -> object:
    """Turns as a list: what `datasets` writes as a dict of lists of one length is turned round."""
    if not isinstance(value, dict) or not value or not all(isinstance(part, list) for part in value.values()):
        return value
    if len({len(part) for part in value.values()}) != 1:
        return value
    rows = [dict(zip(value, row)) for row in zip(*value.values())]
    return [{name: said for name, said in row.items() if said is not None} for row in rows]


def _tools(item: Dict[str, object], remarks: List[Remark]) -> str:
    """What may be called, as JSON: a list, or the text of one (LLaMA-Factory)."""
    value = item.get(TOOLS)
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise FieldError(TOOLS, f"field `{TOOLS}` is a string that is no JSON.") from error
    if isinstance(value, str) or holds_nothing(value):
        return ""
    if not isinstance(value, list):
        raise FieldError(TOOLS, f"field `{TOOLS}` is {json_kind(value)}, not a list.")
    remarks.append(("used", TOOLS))
    return _as_json(TOOLS, value)


def _as_json(shown: str, value: object) -> str:
    _check_all_doubled(value, shown)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise FieldError(shown, f"field `{shorten(shown)}` has a number that JSON does not know.") from error
    return as_text(text, shown)


def _check_all_doubled(value: object, shown: str) -> None:
    """Raise FieldError where an object, however deep, has a key twice."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            check_doubled(value, shown)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _parse_turn(where: str, field: str, turn: object, remarks: List[Remark]) -> Turn:
    if not isinstance(turn, dict):
        raise FieldError(where, f"{where} is {json_kind(turn)}, not an object.")
    check_doubled(turn, where)
    by, of = ("role", "content") if "from" not in turn and "role" in turn else ("from", "value")
    if by not in turn:
        raise FieldError(f"{where}.{by}", f"{where} has no field `{by}`; its fields: {show_names(turn)}.")
    turn = _with_tool_calls(where, by, of, turn)
    speaker = _speaker(where, by, turn, remarks)
    given = _given(where, speaker, turn, remarks)
    calls = any(name == TOOL_CALLS for name, _ in given)
    if of not in turn and not calls:
        raise FieldError(f"{where}.{of}", f"{where} has no field `{of}`; its fields: {show_names(turn)}.")
    text = (
        ""
        if calls and turn.get(of) is None
        else _text_of_content(f"{where}.{of}", turn[of], f"{field}[].{of}", remarks)
    )
    trained = _is_trained(where, turn)
    if not trained and speaker == "gpt":
        remarks.append(("used", NOT_TRAINED))
    elif speaker != "gpt":
        asked = (name for name in TRAIN_MARKS if turn.get(name))
        remarks += [("unread", f"{field}[].{name} of a turn that is no answer") for name in asked]
    remarks += [("unread", f"{field}[].{name}") for name in THOUGHTS if isinstance(turn.get(name), bool)]
    read = {by, of, *TRAIN_MARKS, *THOUGHTS, *_GIVEN.get(speaker, ())}
    if len(turn) > 2:
        for name, said in turn.items():
            if name not in read and not holds_nothing(said):
                remarks.append(("unread", f"{field}[].{shorten(name)}"))
    return Turn(speaker, text, trained or speaker != "gpt", given)


def _with_tool_calls(where: str, by: str, of: str, turn: Dict[str, object]) -> Dict[str, object]:
    """A turn whose call is written in an older way, with `tool_calls`: by its role, or in `function_call` (OpenAI)."""
    if turn[by] == "function_call":
        try:
            call = json.loads(as_text(turn.get(of), f"{where}.{of}"))
        except (ValueError, RecursionError) as error:
            raise FieldError(f"{where}.{of}", f"{where} is a function_call, and its text no JSON.") from error
        rest = {name: value for name, value in turn.items() if name != of}
    elif holds_nothing(turn.get("function_call")) or TOOL_CALLS in turn:
        return turn
    else:
        call, rest = turn["function_call"], {name: value for name, value in turn.items() if name != "function_call"}
    calls = call if isinstance(call, list) else [call]
    if not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in calls):
        raise FieldError(where, f"{where} has a function call without a name.")
    return {**rest, TOOL_CALLS: [{"type": "function", "function": item} for item in calls]}


def _speaker(where: str, by: str, turn: Mapping[str, object], remarks: List[Remark]) -> str:
    role = as_text(turn[by], f"{where}.{by}")
    if role in _USUAL_ROLES:
        return ROLES[role]
    known = role.strip().lower()
    if known not in ROLES:
        raise FieldError(
            f"{where}.{by}",
            f"{where} is from `{shorten(role)}`, whose words cannot be trained on.",
            f"Known are {show_names(ROLES)}: rename it or remove the record.",
        )
    remarks.append(("role", f"`{shorten(role)}` is taken as {ROLES[known]}"))
    return ROLES[known]


def _text_of_content(where: str, value: object, named: str, remarks: List[Remark]) -> str:
    """A text, or the texts of OpenAI's content parts one after the other; `named`: how remarks call the field."""
    if not isinstance(value, list):
        return as_text(value, where)
    texts: List[str] = []
    for index, part in enumerate(value):
        kind = part.get("type", "text") if isinstance(part, dict) else json_kind(part)
        if isinstance(part, str):
            texts.append(as_text(part, f"{where}[{index}]"))
        elif isinstance(part, dict) and kind == "text" and "text" in part:
            check_doubled(part, f"{where}[{index}]")
            others = (name for name, said in part.items() if name not in ("type", "text") and not holds_nothing(said))
            remarks += [("unread", f"{named}[].{shorten(name)}") for name in others]
            texts.append(as_text(part["text"], f"{where}[{index}].text"))
        else:
            reason = f"`{where}[{index}]` is a part of the type `{shorten(str(kind))}`; only text is trained on."
            raise FieldError(where, reason, "Remove the part, or the record.")
    return "".join(texts)


def _is_trained(where: str, turn: Mapping[str, object]) -> bool:
    """Whether a turn is marked as one to train on; without a mark it is."""
    trained = True
    for name in TRAIN_MARKS:
        value = turn.get(name)
        if value is None:
            continue
        if not isinstance(value, (int, float)) or value not in (0, 1):
            shown = shorten(str(value)) if isinstance(value, (int, float)) else json_kind(value)
            raise FieldError(
                f"{where}.{name}",
                f"{where} has `{name}` {shown}: a turn is trained on or not.",
                "Use 1 or 0, true or false.",
            )
        trained = trained and bool(value)
    return trained


def _given(where: str, speaker: str, turn: Mapping[str, object], remarks: List[Remark]) -> Tuple[Tuple[str, str], ...]:
    """What a chat template is to write beside the text, as (name, JSON)."""
    if len(turn) == 2 and TOOL_CALLS not in turn:
        return ()
    given: List[Tuple[str, str]] = []
    thought = _thought(where, turn)
    if thought and speaker == "gpt":
        given.append((REASONING, _as_json(f"{where}.{REASONING}", thought)))
        remarks.append(("used", REASONING))
    elif thought:
        remarks.append(("unread", f"{REASONING} of a turn that is not from the assistant"))
    for name in _GIVEN.get(speaker, ()):
        value = turn.get(name)
        if holds_nothing(value):
            continue
        if name == TOOL_CALLS and not isinstance(value, list):
            raise FieldError(f"{where}.{name}", f"{where} has `{name}` that is {json_kind(value)}, not a list.")
        given.append((name, _as_json(f"{where}.{name}", value)))
        if name == TOOL_CALLS:
            remarks.append(("used", TOOL_CALLS))
    return tuple(given)


def _thought(where: str, turn: Mapping[str, object]) -> str:
    found: Optional[str] = None
    for name in THOUGHTS:
        value = turn.get(name)
        if holds_nothing(value) or isinstance(value, bool):  # some have a switch under that name
            continue
        text = as_text(value, f"{where}.{name}")
        if found is not None and text != found:
            raise FieldError(f"{where}.{name}", f"{where} has two thoughts, `{name}` and another.", "Keep one.")
        found = text
    return found or ""
