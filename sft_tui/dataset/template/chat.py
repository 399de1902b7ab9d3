"""A folder's own chat template: where it stands, what it writes of a conversation, and which of that is learned.

What a template writes is learned by watching it, for each order of turns: marked texts are rendered whole, and once
more up to each answer, with the words that a model is given to make it answer. The whole must begin with the part, so
that an answer begins where the part ends; what follows is words of the template (an empty thought, say), the text, and
the token that ends it. Then every record is rendered, and has to be just that with its own texts. Nothing is guessed.

A template may open a thought where it makes the model answer. Then the answer begins where the part and the whole go
apart: behind the opened thought, which the model has to end, or before it, in an earlier turn that has none.
Conversations with thoughts, tools or calls are rendered so themselves (`messages`), since no marks can stand for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from sft_tui.core.profile_defaults import CHAT_TEMPLATE
from sft_tui.dataset.template.messages import (
    ChangedTextError,
    ChatAnswer,
    ChatPrompt,
    Message,
    opened_thought,
    where_parted,
    write_messages,
)
from sft_tui.dataset.tokenizer.hf import HfTokenizer
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files.small_file import read_small_object, read_small_text

CHAT = CHAT_TEMPLATE
_CONFIG, _FILE = "tokenizer_config.json", "chat_template.jinja"
_HINT = "Choose another template by name: --template NAME."
_ROLES = {"human": "user", "gpt": "assistant", "system": "system", "tool": "tool"}
# Blanks around a text that templates drop, the least first.
_STRIPPED: Tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.lstrip("\n"),
    lambda text: text.rstrip("\n"),
    lambda text: text.strip("\n"),
    str.lstrip,
    str.rstrip,
    str.strip,
)


@dataclass(frozen=True)
class _Shape:
    """What a template writes around the texts of one order of turns.

    `between[i]` stands before text i, the last behind all. `leads[i]` is the end of `between[i]` that comes behind the
    words which make a model answer; `ends[i]` the beginning of `between[i + 1]` that ends answer i. `closings[i]` is
    the end of a lead that closes a thought which those words have opened: the model has to write it.
    """

    between: Tuple[str, ...]
    leads: Mapping[int, str]
    ends: Mapping[int, str]
    closings: Mapping[int, str]


def find_template(folder: Path) -> Tuple[Path, str]:
    """The file with the chat template of a folder, and its text; raises InvalidInputError when there is none.

    As transformers: the file of its own first; of several in tokenizer_config.json the one called default.
    """
    try:
        own, config = folder / _FILE, folder / _CONFIG
        if own.is_file():
            return own, read_small_text(own)
        found = read_small_object(config).get("chat_template") if config.is_file() else None
    except (OSError, InvalidInputError) as error:
        raise InvalidInputError(f"The chat template of {folder} could not be read: {error}.", _HINT) from error
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    if not isinstance(found, str) or not found.strip():
        raise InvalidInputError(f"{folder} has no chat template, neither in {_CONFIG} nor as {_FILE}.", _HINT)
    return config, found


def load_chat_template(tokenizer: Tokenizer) -> ChatTemplate:
    """The chat template beside a tokenizer.json, tried on a small conversation.

    Raises InvalidInputError that says why it cannot be used, EnvironmentNotFitError without jinja2.
    """
    if not isinstance(tokenizer, HfTokenizer):
        raise InvalidInputError(
            f"{tokenizer.path} is no tokenizer.json: chat templates come with those.", "Name the Hugging Face folder."
        )
    path, source = find_template(tokenizer.path.parent)
    template = ChatTemplate(path, source, tokenizer)
    template.write(("user", "assistant"), ("q", "a"))
    return template


class ChatTemplate:
    """What one folder's template makes of conversations."""

    def __init__(self, path: Path, source: str, tokenizer: HfTokenizer) -> None:
        try:
            from sft_tui.dataset.template.sandbox import SandboxedTemplate, TemplateRefusedError
        except ImportError as error:
            raise EnvironmentNotFitError(f"Chat templates need jinja2: {error}.", "pip install jinja2") from error
        self.path = path
        self._refused = TemplateRefusedError
        self._special = tokenizer.special_pattern()
        self._ends = tokenizer.end_tokens()
        variables: Dict[str, object] = {"tools": None, "documents": None, **tokenizer.special_words()}
        self._variables = {flag: {**variables, "add_generation_prompt": flag} for flag in (False, True)}
        try:
            self._template = SandboxedTemplate(source)
        except TemplateRefusedError as error:
            raise self._error(str(error)) from error
        self._shape = lru_cache(maxsize=1024)(self._learn)

    def end_of_answer(self) -> str:
        """The token that ends an answer. Raises InvalidInputError."""
        return self._shape(("user", "assistant")).ends[1].strip()

    def write(self, roles: Tuple[str, ...], texts: Tuple[str, ...]) -> ChatPrompt:
        """What the template writes. Raises InvalidInputError when it does not write these texts, all and unchanged."""
        shape = self._shape(roles)
        text = self._render(roles, texts)
        answers: List[ChatAnswer] = []
        at = 0
        for place, (role, said) in enumerate(zip(roles, texts)):
            begin, kept = self._find(text, at, shape, place, said)
            at = begin + len(kept)
            if role == "assistant":
                end, closing = shape.ends[place], shape.closings.get(place, "")
                answers.append(ChatAnswer(closing + kept, end, begin - len(closing), at + len(end), bool(kept)))
        if roles[-1] == "assistant" and not shape.between[-1]:
            text += shape.ends[len(roles) - 1]  # the token that would open the next turn
        return ChatPrompt(text, tuple(answers), any(self._special.search(said) for said in texts))

    def _find(self, text: str, at: int, shape: _Shape, place: int, said: str) -> Tuple[int, str]:
        """Where the text of a turn begins, and how the template wrote it: as it is, or without blanks around it."""
        before, after, lead = shape.between[place], shape.between[place + 1], shape.leads.get(place, "")
        # the lead may give way to one that stands in the text itself: a thought
        for words in (before, before[: len(before) - len(lead)]) if lead else (before,):
            if not text.startswith(words, at):
                continue
            begin = at + len(words)
            for strip in _STRIPPED:
                kept = strip(said)
                if text.startswith(kept, begin) and self._goes_on(text, begin + len(kept), after, shape, place):
                    return begin, kept
        raise ChangedTextError(
            f"the chat template drops or changes the text of turn {place + 1}.",
            "Look at what it writes, and change or remove the record.",
        )

    def _goes_on(self, text: str, at: int, after: str, shape: _Shape, place: int) -> bool:
        lead = shape.leads.get(place + 1, "")
        last = place + 2 == len(shape.between)
        return text[at:] == after if last else text.startswith(after[: len(after) - len(lead)], at)

    def _learn(self, roles: Tuple[str, ...]) -> _Shape:
        marks = tuple(f"\u2603{place}\u2604" for place in range(len(roles)))
        whole = self._render(roles, marks)
        between, places, at = [], [], 0
        for place, mark in enumerate(marks):
            if whole.count(mark) != 1 or whole.find(mark) < at:
                speaker = "a system turn" if roles[place] == "system" else f"turn {place + 1} ({roles[place]})"
                what = "drops" if mark not in whole else "does not keep in its place"
                raise self._error(f"it {what} {speaker}")
            places.append(whole.index(mark))
            between.append(whole[at : places[-1]])
            at = places[-1] + len(mark)
        between.append(whole[at:])
        leads: Dict[int, str] = {}
        ends: Dict[int, str] = {}
        closings: Dict[int, str] = {}
        for place, role in enumerate(roles):
            if role == "assistant":
                asked = self._render(roles[:place], marks[:place], ask=True)
                part = where_parted(whole, asked)
                # a thought that is opened behind the last question has to be written there too
                short = part is not None and part < len(asked) and "user" not in roles[place:]
                if part is None or short or part > places[place]:
                    raise self._error("what it writes before an answer changes once the answer is there")
                leads[place] = whole[part : places[place]]
                if part == len(asked) and opened_thought(asked):
                    closings[place] = leads[place].lstrip()
                ends[place] = self._find_end(between[place + 1], roles[: place + 1], marks)
        return _Shape(tuple(between), leads, ends, closings)

    def _find_end(self, after: str, roles: Tuple[str, ...], marks: Tuple[str, ...]) -> str:
        """The token that ends an answer, with blanks before it: the next one, or the one that opens the next turn."""
        if not after:
            opened = self._render((*roles, "user"), (*marks[: len(roles)], "\u2605"))
            after = opened[opened.index(marks[len(roles) - 1]) + len(marks[len(roles) - 1]) :]
        found = self._special.search(after)
        if found is None or after[: found.start()].strip() or found.group() not in self._ends:
            shown = after.strip()[:40] or "nothing"
            raise self._error(f"no end token stands behind an answer, but {shown!r}: a model could not learn to stop")
        return after[: found.end()]

    def write_messages(self, messages: Sequence[Message], tools: object = None) -> Tuple[ChatPrompt, Tuple[int, ...]]:
        """What the template writes of messages with thoughts, calls or tools, and whose thoughts it leaves out.

        Those are places of earlier turns that have a thought in a field of its own. Raises InvalidInputError when
        something else that they say is not written.
        """
        return write_messages(self.render, messages, tools, self._special, self._ends)

    def render(self, messages: Sequence[Message], tools: object = None, *, ask: bool = False) -> str:
        """What the template writes; `ask`: with the words that make a model answer. Raises InvalidInputError."""
        variables = self._variables[ask] if tools is None else {**self._variables[ask], "tools": tools}
        try:
            return self._template.render(messages, variables)
        except self._refused as error:
            raise self._error(str(error)) from error

    def _render(self, roles: Sequence[str], texts: Sequence[str], *, ask: bool = False) -> str:
        return self.render([{"role": role, "content": text} for role, text in zip(roles, texts)], ask=ask)

    def _error(self, what: str) -> InvalidInputError:
        return InvalidInputError(f"the chat template in {self.path} cannot be used: {what}.", _HINT)


def chat_roles(speakers: Sequence[str]) -> Tuple[str, ...]:
    """The words of chat templates for who speaks."""
    return tuple(_ROLES[speaker] for speaker in speakers)


def template_text(folder: Path) -> Optional[str]:
    """The text of a folder's chat template, None when there is none that can be read."""
    try:
        return find_template(folder)[1]
    except InvalidInputError:
        return None
