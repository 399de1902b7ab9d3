"""Finds the answers in what a chat template writes of messages with thoughts, tools and calls of tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Protocol, Sequence, Tuple

from sft_tui.dataset.read.conversation import REASONING, TOOL_CALLS
from sft_tui.errors import InvalidInputError

# role, content, and what else a template may write
Message = Dict[str, object]
_OPENED = re.compile(r"<[A-Za-z_]+>\s*$")
# what a prompt may end with that an earlier turn does not have: an opened thought, or an empty one
_AHEAD = re.compile(r"<([A-Za-z_]+)>\s*(?:</\1>\s*)?$")
_TAGS = re.compile(r"(?:</?[A-Za-z_]+>)*")
# what a template writes before an answer without a thought is its own, as is what asks for the answer
_EMPTY = re.compile(r"\s*<([A-Za-z_]+)>\s*</\1>\s*")
_CLOSED = "</think>"


@dataclass(frozen=True)
class ChatAnswer:
    """An answer in a rendered conversation: its text, what ends it, and where both stand together (in characters).

    `says`: it is not empty.
    """

    text: str
    end: str
    begin: int
    stop: int
    says: bool = True


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation as the template writes it. `injected`: a text has a special token, which is for the template."""

    text: str
    answers: Tuple[ChatAnswer, ...]
    injected: bool


class ChangedTextError(InvalidInputError):
    """A template does not write a text as it stands in the record."""


class Render(Protocol):
    """A template that writes messages; `ask`: with the words that make a model answer."""

    def __call__(self, messages: Sequence[Message], tools: object = None, *, ask: bool = False) -> str: ...


def opened_thought(asked: str) -> str:
    """The tag of a thought that is open where a model has to answer, such as `<think>` and a line break; or ""."""
    found = _OPENED.search(asked)
    return found.group() if found else ""


def where_parted(whole: str, asked: str) -> Optional[int]:
    """Where an answer begins in the whole: behind what asks for it, or before a thought that only that has."""
    if whole.startswith(asked):
        return len(asked)
    ahead = _AHEAD.search(asked)
    return ahead.start() if ahead and whole.startswith(asked[: ahead.start()]) else None


def write_messages(
    render: Render, messages: Sequence[Message], tools: object, special: re.Pattern[str], ends: Sequence[str]
) -> Tuple[ChatPrompt, Tuple[int, ...]]:
    """What a template writes of messages, and the places of those whose thought it leaves out.

    Raises InvalidInputError, without the record, when it does not write all else. `special` finds the tokenizer's
    special tokens, `ends` are those that may end an answer.
    """
    whole = render(messages, tools)
    if any(special.search(text) for text in _strings([messages, tools])):
        return ChatPrompt(whole, (), injected=True), ()
    answers: List[ChatAnswer] = []
    left_out: List[int] = []
    at = 0
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked = render(messages[:place], tools, ask=True)
        begin = where_parted(whole, asked)
        last = all(later["role"] != "user" for later in messages[place:])
        # a thought that is opened behind the last question has to be written there too
        if begin is None or begin < at or (last and begin < len(asked)):
            raise InvalidInputError(
                f"what the chat template writes before turn {place + 1} changes once the answer is there.",
                "Remove the record, or take another template.",
            )
        _check_asked(messages, place, whole[at:begin])
        end = next((found for found in special.finditer(whole, begin) if found.group() in ends), None)
        if end is None:
            raise InvalidInputError(
                f"no end token stands behind the answer of turn {place + 1}.", "A model could not learn to stop."
            )
        said = whole[begin : end.start()]
        if not _writes_thought(message, said, place, render):
            if last:
                moved = _move_thoughts(messages)
                if not _probe_thought(render, inline=True):
                    raise _thought_dropped(place, render)
                return write_messages(render, moved, tools, special, ends)
            left_out.append(place)
        empty = _EMPTY.match(said) if not opened_thought(asked) and not message.get(REASONING) else None
        text = said[empty.end() :] if empty else said.lstrip()
        answers.append(ChatAnswer(text, end.group(), end.start() - len(text), end.end(), bool(text)))
        at = end.end()
    _check_asked(messages, len(messages), whole[at:])
    _check_tools(tools, whole[: answers[0].begin] if answers else whole)
    return ChatPrompt(whole, tuple(answers), injected=False), tuple(left_out)


def _strings(value: object) -> Iterator[str]:
    """All texts of a value, names too, however deep they stand."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += value


def _check_tools(tools: object, written: str) -> None:
    """Every tool that may be called is written before the first answer, by its name."""
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str) and name not in written:
            raise InvalidInputError(
                f"the chat template does not write the tool `{name[:40]}` of `tools`.",
                "Take a model whose template writes tools, or remove them from the records.",
            )


def _check_asked(messages: Sequence[Message], place: int, written: str) -> None:
    """All that stands between the answer before and this one is written."""
    for index in range(place - 1, -1, -1):
        if messages[index]["role"] == "assistant":
            return
        if str(messages[index]["content"]).strip() not in written:
            role = messages[index]["role"]
            raise InvalidInputError(
                f"the chat template drops or changes the text of turn {index + 1} ({role}).",
                "Take a model whose template writes it, or remove the record.",
            )


def _writes_thought(message: Message, said: str, place: int, render: Render) -> bool:
    """Whether all of an answer is written, its thought too; False where the thought alone is missing.

    Raises InvalidInputError when something else is, or a thought that stands in the text itself.
    """
    content, thought = str(message["content"]), str(message.get(REASONING) or "")
    inline = not thought and _CLOSED in content
    if inline:
        head, _, content = content.rpartition(_CLOSED)
        thought = head.rpartition("<think>")[2]
    calls = message.get(TOOL_CALLS)
    for spellings in _parts_of_calls(calls):
        if not any(spelling in said for spelling in spellings):
            raise InvalidInputError(
                f"the chat template does not write `{spellings[0][:40]}` of the tool call in turn {place + 1}.",
                "Take a model whose template writes tool calls, or remove the record.",
            )
    wanted = content.strip()
    if wanted not in said or (not calls and not said.rstrip().endswith(wanted)):
        raise ChangedTextError(
            f"the chat template drops or changes the text of turn {place + 1}.",
            "Look at what it writes, and change or remove the record.",
        )
    before = said[: said.rindex(wanted)] if wanted else said
    if not thought or thought.strip() in before:
        return True
    if inline:
        raise _thought_dropped(place, render)
    return False


def _move_thoughts(messages: Sequence[Message]) -> List[Message]:
    """Thoughts behind the last question put into the text, for a template that looks for them there."""
    asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
    moved = [dict(message) for message in messages]
    for message in moved[asked:]:
        thought = message.pop(REASONING, "")
        if thought:
            message["content"] = f"<think>\n{thought}\n</think>\n\n{message['content']}"
    return moved


def _probe_thought(render: Render, *, inline: bool) -> str:
    """How the template writes a thought: in the text of the answer, or in its own field; "" when it does not."""
    question: Message = {"role": "user", "content": "QUESTION"}
    answer: Message = {"role": "assistant", REASONING: "THOUGHT", "content": "ANSWER"}
    odd = "<think>THOUGHT</think>ANSWER"
    answer = {"role": "assistant", "content": odd} if inline else answer
    whole = render([question, answer])
    begin = where_parted(whole, render([question], ask=True))
    if begin is None or "THOUGHT" not in whole[begin:] or "ANSWER" not in whole or odd in whole:
        return ""  # a template that writes the odd spelling as it is takes thoughts for text
    return opened_thought(whole[:begin]) + whole[begin : whole.rindex("ANSWER") + len("ANSWER")]


def _thought_dropped(place: int, render: Render) -> InvalidInputError:
    """Says how the template writes a thought, where it does."""
    reason = f"the chat template drops the thought of turn {place + 1}"
    shown = _probe_thought(render, inline=False) or _probe_thought(render, inline=True)
    if not shown:
        return InvalidInputError(
            f"{reason}; it writes none.", "Take a model whose template writes thoughts, or remove the thought."
        )
    return InvalidInputError(
        f"{reason}; it writes one behind the last question, as {json.dumps(shown, ensure_ascii=False)}.",
        f"Remove it, or give it as `{REASONING}`: in earlier turns that is left out, and counted.",
    )


def _parts_of_calls(calls: object) -> Iterator[Tuple[str, ...]]:
    """What has to be written of tool calls: names and arguments, each in the spellings that it may have."""
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", call) if isinstance(call, dict) else {}
        if not isinstance(function, dict):
            continue
        if isinstance(function.get("name"), str):
            yield _spellings(function["name"])
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                yield (arguments,)
                continue
        yield from _leaves(arguments)


def _leaves(value: object) -> Iterator[Tuple[str, ...]]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif value is not None:
            yield _spellings(value)


def _spellings(value: object) -> Tuple[str, ...]:
    """A text, number or truth value as it is, and as JSON writes it."""
    if isinstance(value, str):
        return (value, *(json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)))
    return (json.dumps(value), str(value))
