"""Reads who says what in a conversation, and tells when a template cannot write that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.layouts import TemplateLayout
from sft_tui.errors import InvalidInputError

_SURROGATE_HINT = "It holds half of a pair like \\ud83d; remove it, or write the whole character."


@dataclass(frozen=True)
class Dialog:
    """What is said, in order: question, answer, question, ...; `left_out`: a first turn of the assistant was dropped.

    `system` is the text of the system turn, None when there is none, or an empty one.
    """

    system: Optional[str]
    texts: Tuple[str, ...]
    left_out: bool = False


def read_dialog(conversation: Conversation, layout: TemplateLayout) -> Dialog:
    """Check that a template can write these turns. A first turn of the assistant is left out, as MindFormers does.

    Raises InvalidInputError, which does not name the record, when speakers do not take turns, there is no question,
    the template has no place for a system turn, or a text is not Unicode.
    """
    turns = conversation.turns
    system: Optional[str] = None
    if turns and turns[0].speaker == "system":
        if layout.system is None:
            raise InvalidInputError(
                f"template `{layout.name}` has no place for a system turn.",
                "Choose another template, or remove the turn.",
            )
        system, turns = turns[0].text, turns[1:]
    left_out = bool(turns) and turns[0].speaker == "gpt"
    texts = alternate(conversation, start=len(conversation.turns) - len(turns) + left_out)
    if not texts:
        raise InvalidInputError("it has no turn from `human`.", "Remove the record.")
    if layout.strip:
        system, texts = system and system.strip(), tuple(text.strip() for text in texts)
    return Dialog(system or None, texts, left_out)


def alternate(conversation: Conversation, start: int) -> Tuple[str, ...]:
    """The texts from turn `start` on.

    Raises InvalidInputError unless `human` and `gpt` take turns, and all texts are Unicode that can be written.
    """
    texts: List[str] = []
    for index, turn in enumerate(conversation.turns[start:]):
        expected = ("human", "gpt")[index % 2]
        if turn.speaker != expected:
            raise InvalidInputError(
                f"a turn is from `{turn.speaker}` where `{expected}` was expected.",
                "Turns must alternate between `human` and `gpt`, beginning with `human`.",
            )
        texts.append(turn.text)
    for turn in conversation.turns:
        if not turn.text.isascii():
            try:
                turn.text.encode("utf-8")
            except UnicodeEncodeError as error:
                message = f"character {error.start + 1} of a text is no character."
                raise InvalidInputError(message, _SURROGATE_HINT) from error
    return tuple(texts)
