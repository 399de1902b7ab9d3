"""Writes a conversation as the one text that a model is trained on, and says which parts of it are learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from sft_tui.dataset.conversation import Conversation
from sft_tui.dataset.templates import DEFAULT_TEMPLATE, Layout, load_layout
from sft_tui.errors import InvalidInputError

_SURROGATE_HINT = "It holds half of a pair like \\ud83d; remove it, or write the whole character."


@dataclass(frozen=True)
class Dialog:
    """What is said, in order: question, answer, question, ...; `left_out`: a first turn of the assistant was dropped.

    `system` is the text of the system turn, None when there is none.
    """

    system: Optional[str]
    texts: Tuple[str, ...]
    left_out: bool = False


@dataclass(frozen=True)
class Prompt:
    """The text of a conversation, and the stretches of it (from, to, in characters) that a model has to write."""

    text: str
    answers: Tuple[Tuple[int, int], ...]


def read_dialog(conversation: Conversation, layout: Layout) -> Dialog:
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
    dialog = Dialog(system, alternate(conversation, start=len(conversation.turns) - len(turns) + left_out), left_out)
    if not dialog.texts:
        raise InvalidInputError("it has no turn from `human`.", "Remove the record.")
    if not layout.strip:
        return dialog
    return Dialog(system and system.strip(), tuple(text.strip() for text in dialog.texts), left_out)


def alternate(conversation: Conversation, start: int) -> Tuple[str, ...]:
    """The texts from turn `start` on. Raises InvalidInputError unless `human` and `gpt` take turns."""
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


def write_prompt(dialog: Dialog, layout: Layout, trained_end: int) -> Prompt:
    """Write a conversation. An answer is what the model has to write once it is its turn: a space where the template
    puts one, the text, and the first `trained_end` characters of what the template ends it with.

    The rest of what ends the last answer is left out: it only opens another round.
    """
    text = layout.head
    if dialog.system is not None and layout.system is not None:
        text = dialog.system.join(layout.system)
    parts = [text]
    size = len(text)
    answers: List[Tuple[int, int]] = []
    end, rest = layout.end[:trained_end], layout.end[trained_end:]
    for index, said in enumerate(dialog.texts):
        if index % 2 == 0:
            added = (rest + layout.between if index else "") + said + layout.middle
        else:
            added = layout.lead + said + end
            answers.append((size, size + len(added)))
        parts.append(added)
        size += len(added)
    return Prompt("".join(parts), tuple(answers))


def build_prompt(conversation: Conversation, template: str = DEFAULT_TEMPLATE, *, source: Optional[Path] = None) -> str:
    """The whole conversation as one text. Raises InvalidInputError when the template cannot write it; `source` is the
    file that it names.
    """
    from sft_tui.dataset import reference

    layout = load_layout(template)
    try:
        if template == DEFAULT_TEMPLATE:
            return reference.build_prompt(conversation)
        return write_prompt(read_dialog(conversation, layout), layout, len(layout.end)).text
    except InvalidInputError as error:
        file = f"{source}: " if source else ""
        where = f"{file}record {conversation.number} (id {conversation.id})"
        raise InvalidInputError(f"{where}: {error.message}", error.hint) from error


def load_template(name: str) -> Layout:
    """The template of that name; raises InvalidInputError for an unknown one, and for one that is refused."""
    return load_layout(name)
