"""Writes a conversation as one text with a template, and says where the answers are in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from sft_tui.dataset.encode import llama_preprocess as reference
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.dialog import Dialog, read_dialog
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, TemplateLayout, load_layout
from sft_tui.errors import InvalidInputError


@dataclass(frozen=True)
class Prompt:
    """The text of a conversation, and its answers: ranges (from, to) in characters, `to` excluded."""

    text: str
    answers: Tuple[Tuple[int, int], ...]


def write_prompt(dialog: Dialog, layout: TemplateLayout, trained_end: int) -> Prompt:
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
    layout = load_layout(template)
    try:
        if template == DEFAULT_TEMPLATE:
            return reference.build_prompt(conversation)
        return write_prompt(read_dialog(conversation, layout), layout, len(layout.end)).text
    except InvalidInputError as error:
        file = f"{source}: " if source else ""
        where = f"{file}record {conversation.number} (id {conversation.id})"
        raise InvalidInputError(f"{where}: {error.message}", error.hint) from error
