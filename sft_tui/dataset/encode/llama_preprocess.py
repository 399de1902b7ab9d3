"""Encodes with vicuna_v1.1 as MindFormers llama_preprocess does, oddities included: the same rows, to the token.

The text is split at </s> into rounds, each is tokenized alone and ended by eos. In a round the question goes up to
the words " ASSISTANT: "; where these do not stand exactly once, masking ends for good. Then the rounds are counted
against what is not padding, and when that differs, all of the row is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Set, Tuple

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, EncodedRow
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.dialog import alternate, check_plain, untrained
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, load_layout
from sft_tui.dataset.tokenizer.sentencepiece import SentencePieceTokenizer
from sft_tui.dataset.tokenizer.word_cache import pack_ids
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_OPENING = " ASSISTANT: "
_SEPARATOR = "</s>"


@dataclass(frozen=True)
class Round:
    """One question and its answer. The answer begins at `place` in `text`, behind the words that open it.

    `parts` is what is left when the text is cut at those words: 2 when all is well, 1 when there is no answer,
    more when the words stand in the text as well.
    """

    text: str
    place: int
    parts: int


def build_prompt(conversation: Conversation) -> str:
    """The whole conversation as one text, rounds ended by </s>. A first turn that is not from `human` is left out.

    Raises InvalidInputError, which does not name the record, when there is no turn, or speakers do not take turns.
    """
    if not conversation.turns:
        raise InvalidInputError("it has no turn.", "Remove the record.")
    check_plain(conversation, DEFAULT_TEMPLATE)
    texts = alternate(conversation, start=int(_leaves_out(conversation)))
    system, openings = _words()
    parts = [system]
    for index, text in enumerate(texts):
        opening, end = openings[index % 2]
        # as FastChat: of an empty text nothing is written but who would speak
        parts.append(opening + text + end if text else opening.rstrip(" "))
    return "".join(parts)


def split_rounds(prompt: str) -> List[Round]:
    """Cut a prompt into its rounds, and find in each where the answer begins. Ends at the first empty round."""
    rounds: List[Round] = []
    for text in prompt.split(_SEPARATOR):
        if not text:
            break
        place = text.find(_OPENING) + len(_OPENING)
        rounds.append(Round(text, place, text.count(_OPENING) + 1))
    return rounds


class ReferenceEncoder:
    """Encodes as MindFormers llama_preprocess does: int32 rows of at most `length` tokens."""

    def __init__(self, tokenizer: SentencePieceTokenizer, length: int) -> None:
        self._tokenizer = tokenizer
        self._length = length

    def write(self, conversation: Conversation) -> List[Round]:
        """Cut a conversation into rounds. Raises InvalidInputError that does not name the record."""
        return split_rounds(build_prompt(conversation))

    def encode_batch(self, batch: Sequence[Tuple[Conversation, List[Round]]]) -> Iterator[EncodedRow]:
        """Yield an EncodedRow for each conversation, in order: int32 (min(tokens, length),)."""
        texts = [
            (item.text, item.place if item.parts == 2 else len(item.text)) for _, rounds in batch for item in rounds
        ]
        encoded = iter(self._tokenizer.pack_openings(texts))
        for conversation, rounds in batch:
            yield _assemble(conversation, rounds, [next(encoded) for _ in rounds], self._tokenizer, self._length)


def _leaves_out(conversation: Conversation) -> bool:
    return conversation.turns[0].speaker != "human"


@cache
def _words() -> Tuple[str, Tuple[Tuple[str, str], Tuple[str, str]]]:
    """What the layout writes before all, and what before and behind a question, and an answer."""
    layout = load_layout(DEFAULT_TEMPLATE)
    asked = layout.between
    space, assistant = layout.middle[:1], layout.middle[1:]
    return layout.head[: -len(asked)], ((asked, space), (assistant + layout.lead, layout.end))


def _assemble(
    conversation: Conversation,
    rounds: List[Round],
    bodies: List[Tuple[bytes, int]],
    tokenizer: SentencePieceTokenizer,
    length: int,
) -> EncodedRow:
    import numpy as np

    eos = pack_ids([tokenizer.eos_id])
    packed = pack_ids([tokenizer.bos_id]) + b"".join(body + eos for body, _ in bodies)
    ids = np.frombuffer(packed, dtype=np.int32)
    tokens = len(ids)
    labels = ids.copy()
    end, broken = _mask_questions(labels, rounds, bodies)
    # MindFormers counts what is not padding: an unknown token in the text looks like padding, and the row is masked.
    unknown = int((ids == tokenizer.pad_id).sum())
    if end < length and end != tokens - unknown:
        # Longer than a row and masked: MindFormers forgets to cut these labels and stops with an error.
        labels[:] = IGNORE_TOKEN_ID
    marked = untrained(conversation, int(_leaves_out(conversation)))
    if marked:
        _mask_answers(labels, bodies, {place // 2 for place in marked})
    labels = labels[:length]
    trained = int((labels != IGNORE_TOKEN_ID).sum())
    return EncodedRow(
        conversation.number,
        conversation.id,
        ids[:length],
        labels,
        tokens,
        trained,
        tokens > length,
        "" if trained else _masked_reason(conversation, broken, end, length, unknown > 0, len(marked)),
        _leaves_out(conversation),
    )


def _mask_questions(
    labels: npt.NDArray[np.int32], rounds: List[Round], bodies: List[Tuple[bytes, int]]
) -> Tuple[int, Optional[Round]]:
    """Ignore bos, the questions, and all from the first round that is not one question and one answer.

    Returns where the last sound round ends, and the round that broke off, if one did.
    """
    labels[0] = IGNORE_TOKEN_ID
    end = 1
    broken: Optional[Round] = None
    for item, (body, question) in zip(rounds, bodies):
        if item.parts != 2:
            broken = item
            break
        # The question's last token is the lone space before the answer; in the row it is part of the answer's first.
        labels[end : end + question - 1] = IGNORE_TOKEN_ID
        end += len(body) // 4 + 1
    labels[end:] = IGNORE_TOKEN_ID
    return end, broken


def _mask_answers(labels: npt.NDArray[np.int32], bodies: List[Tuple[bytes, int]], rounds: Set[int]) -> None:
    """Ignore these rounds, their ends too."""
    end = 1
    for place, (body, _) in enumerate(bodies):
        begin, end = end, end + len(body) // 4 + 1
        if place in rounds:
            labels[begin:end] = IGNORE_TOKEN_ID


def _masked_reason(
    conversation: Conversation, broken: Optional[Round], end: int, length: int, unknown: bool, marked: int
) -> str:
    """Why there is nothing to learn: a key of REASONS. `marked`: answers that are not to be trained on."""
    if marked and marked == sum(turn.speaker == "gpt" for turn in conversation.turns):
        return "not_trained"
    if all(turn.speaker != "human" for turn in conversation.turns):
        return "no_question"
    if end >= length:
        return "cut_off"
    if broken is not None and broken.parts > 2:
        return "opening_in_text"
    if broken is not None:
        if any(turn.speaker == "gpt" and not turn.text for turn in conversation.turns):
            return "empty_answer"
        return "no_answer" if conversation.turns[-1].speaker == "human" else "separator_in_text"
    return "unknown_token" if unknown else "length_mismatch"
