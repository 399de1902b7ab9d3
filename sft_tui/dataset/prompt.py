"""Writes a conversation as the one text that a model is trained on."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional

from sft_tui.dataset.conversation import Conversation
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from fastchat.conversation import Conversation as FastChatConversation

DEFAULT_TEMPLATE = "vicuna_v1.1"


@dataclass(frozen=True)
class Round:
    """One question and its answer. `question` includes the words that open the answer.

    `parts` is what is left when the text is cut at those words: 2 when all is well, 1 when there is no answer,
    more when the words stand in the text as well.
    """

    text: str
    question: str
    parts: int


@cache
def load_template(name: str) -> FastChatConversation:
    """FastChat's template of that name, without its example messages. Do not change what is returned.

    Raises InvalidInputError for an unknown name, and for a style without the two separators ("role: text", one
    after the question, one after the answer) from which MindFormers llama_preprocess tells question from answer.
    """
    from fastchat.conversation import SeparatorStyle, conv_templates, get_conv_template

    usable = sorted(
        key for key, item in conv_templates.items() if item.sep_style == SeparatorStyle.ADD_COLON_TWO and item.sep2
    )
    if name not in conv_templates:
        close = difflib.get_close_matches(name, list(conv_templates), n=5, cutoff=0.5)
        hint = f"Close to it: {', '.join(close)}." if close else f"Usable: {', '.join(usable)}."
        raise InvalidInputError(f"FastChat knows no template `{name}`.", hint)
    if name not in usable:
        raise InvalidInputError(
            f"Template `{name}` does not separate question and answer by two separators.",
            f"Usable: {', '.join(usable)}.",
        )
    template = get_conv_template(name)
    template.messages = []
    return template


def build_prompt(conversation: Conversation, template: str = DEFAULT_TEMPLATE, *, source: Optional[Path] = None) -> str:
    """The whole conversation as one text, rounds ended by the template's second separator.

    A first turn that is not from "human" is left out (MindFormers llama_preprocess). Raises InvalidInputError when
    the speakers do not take turns, or when an unknown one speaks; `source` is the file it names.
    """
    shared: Any = load_template(template)
    filled = shared.copy()
    roles = {"human": filled.roles[0], "gpt": filled.roles[1]}
    turns = list(conversation.turns)
    if turns and roles.get(turns[0].speaker) != filled.roles[0]:
        turns = turns[1:]
    if not turns:
        raise InvalidInputError(_where(conversation, source) + " has no turn from `human`.", "Remove the record.")
    for index, turn in enumerate(turns):
        expected = ("human", "gpt")[index % 2]
        if turn.speaker != expected:
            raise InvalidInputError(
                f"{_where(conversation, source)}: a turn is from `{turn.speaker}` where `{expected}` was expected.",
                "Turns must alternate between `human` and `gpt`, beginning with `human`.",
            )
        filled.append_message(roles[turn.speaker], turn.text)
    prompt: str = filled.get_prompt()
    return prompt


def split_rounds(prompt: str, template: str = DEFAULT_TEMPLATE) -> List[Round]:
    """Cut a prompt into its rounds, and find in each where the answer begins. Ends at the first empty round."""
    shared: Any = load_template(template)
    opening = f"{shared.sep}{shared.roles[1]}: "
    rounds: List[Round] = []
    for text in prompt.split(shared.sep2):
        if not text:
            break
        parts = text.split(opening)
        rounds.append(Round(text, parts[0] + opening, len(parts)))
    return rounds


def _where(conversation: Conversation, source: Optional[Path]) -> str:
    file = f"{source}: " if source else ""
    return f"{file}record {conversation.number} (id {conversation.id})"
