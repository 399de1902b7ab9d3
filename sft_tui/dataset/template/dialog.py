"""Reads who says what in a conversation, and tells when a template cannot write that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, List, Optional, Tuple

from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.layouts import TemplateLayout
from sft_tui.errors import InvalidInputError

_SURROGATE_HINT = "It holds half of a pair like \\ud83d; remove it, or write the whole character."


@dataclass(frozen=True)
class Dialog:
    """What is said, in order: question, answer, question, ...; `left_out`: a first turn of the assistant was dropped.

    `system` is the text of the system turn, None when there is none, or an empty one. `untrained`: which of `texts`
    are answers that are not to be trained on.
    """

    system: Optional[str]
    texts: Tuple[str, ...]
    left_out: bool = False
    untrained: FrozenSet[int] = frozenset()


def read_dialog(conversation: Conversation, layout: TemplateLayout) -> Dialog:
    """Check that a template can write these turns. A first turn of the assistant is left out, as MindFormers does.

    Raises InvalidInputError, which does not name the record, when speakers do not take turns, there is no question,
    the template has no place for a system turn, or a text is not Unicode.
    """
    check_plain(conversation, layout.name)
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
    start = len(conversation.turns) - len(turns) + left_out
    texts = alternate(conversation, start=start)
    if not texts:
        raise InvalidInputError("it has no turn from `human`.", "Remove the record.")
    if layout.strip:
        system, texts = system and system.strip(), tuple(text.strip() for text in texts)
    return Dialog(system or None, texts, left_out, untrained(conversation, start))


def untrained(conversation: Conversation, start: int) -> FrozenSet[int]:
    """Which turns from `start` on, counted from there, are answers that are marked as not to be trained on."""
    return frozenset(place for place, turn in enumerate(conversation.turns[start:]) if not turn.trained)


def check_plain(conversation: Conversation, template: str) -> None:
    """Raise InvalidInputError for what only a chat template can write: thoughts, tools and calls of them."""
    if conversation.is_plain:
        return
    found = "tools" if conversation.tools else ""
    for number, turn in enumerate(conversation.turns, 1):
        if not found and (turn.given or turn.speaker == "tool"):
            name = f"`{turn.given[0][0]}`" if turn.given else "a tool's answer"
            found = f"{name} (turn {number})"
    raise InvalidInputError(
        f"template `{template}` has no place for {found}.",
        "Train a model whose own chat template writes it, or remove it from the records.",
    )


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
