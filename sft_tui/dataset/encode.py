"""Turns conversations into the rows that a Llama model is trained on, as MindFormers llama_preprocess does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, Optional, Tuple

from sft_tui.dataset.conversation import Conversation
from sft_tui.dataset.prompt import DEFAULT_TEMPLATE, Round, build_prompt, load_template, split_rounds
from sft_tui.dataset.tokenizer import Tokenizer, inspect_tokenizer, load_tokenizer
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "DEFAULT_TEMPLATE",
    "IGNORE_TOKEN_ID",
    "REASONS",
    "EncodedRow",
    "Tokenizer",
    "build_prompt",
    "check_seq_length",
    "encode_conversation",
    "encode_conversations",
    "inspect_tokenizer",
    "load_tokenizer",
]

IGNORE_TOKEN_ID = -100
BATCH = 128

# Why a row has nothing to learn: a name for programs, a sentence for people.
REASONS: Dict[str, str] = {
    "empty_answer": "the answer is empty",
    "no_answer": "the conversation ends with a question",
    "opening_in_text": "the words that open an answer stand in the text as well",
    "separator_in_text": "the separator that ends an answer stands in the text as well",
    "unknown_token": "the text has an unknown token, which is also the padding",
    "cut_off": "the answer begins beyond seq_length",
    "length_mismatch": "the rounds do not add up to the whole text",
}


@dataclass(frozen=True)
class EncodedRow:
    """One row. `input_ids` and `labels` are int32 of shape (seq_length + 1,).

    `tokens` is the length before cutting and padding; `masked_reason` is a key of REASONS when every label is
    IGNORE_TOKEN_ID, else "".
    """

    number: int
    id: str
    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    tokens: int
    cut: bool
    masked_reason: str

    @property
    def masked(self) -> bool:
        """Whether there is nothing to learn in this row."""
        return bool(self.masked_reason)

    @property
    def trained_tokens(self) -> int:
        """How many labels are not ignored."""
        return int((self.labels != IGNORE_TOKEN_ID).sum())


def check_seq_length(seq_length: int) -> None:
    """Raise InvalidInputError unless rows of that length can be made."""
    if seq_length < 1:
        raise InvalidInputError(f"seq_length is {seq_length}; it must be at least 1.", "For example 4096.")


def encode_conversation(
    conversation: Conversation, tokenizer: Tokenizer, template: str = DEFAULT_TEMPLATE, seq_length: int = 4096
) -> EncodedRow:
    """One conversation as one row; see `encode_conversations`."""
    return next(encode_conversations([conversation], tokenizer, template, seq_length))


def encode_conversations(
    conversations: Iterable[Conversation],
    tokenizer: Tokenizer,
    template: str = DEFAULT_TEMPLATE,
    seq_length: int = 4096,
    *,
    source: Optional[Path] = None,
) -> Iterator[EncodedRow]:
    """Yield a row for each conversation, in order; they are tokenized in batches, memory stays flat.

    A row holds bos, then the rounds, each ended by eos, and padding up to seq_length + 1 tokens; what is longer is
    cut. Labels repeat the answers (with their eos) and ignore the rest. Raises InvalidInputError for turns that
    cannot be written with the template; `source` is the file it names.
    """
    check_seq_length(seq_length)
    load_template(template)
    waiting = iter(conversations)
    while True:
        batch = list(islice(waiting, BATCH))
        if not batch:
            return
        rounds = [split_rounds(build_prompt(conversation, template, source=source), template) for conversation in batch]
        yield from _encode_batch(batch, rounds, tokenizer, seq_length + 1)


def _encode_batch(
    batch: List[Conversation], rounds: List[List[Round]], tokenizer: Tokenizer, length: int
) -> Iterator[EncodedRow]:
    texts = [text for row in rounds for item in row for text in (item.text, item.question)]
    encoded = iter(tokenizer.encode_many(texts))
    for conversation, row in zip(batch, rounds):
        pairs = [(next(encoded), next(encoded)) for _ in row]
        bodies = [body for body, _ in pairs]
        # The question's last token is the lone space before the answer; in the row it is part of the answer's first.
        skips = [len(question) - 1 for _, question in pairs]
        yield _assemble(conversation, row, bodies, skips, tokenizer, length)


def _assemble(
    conversation: Conversation,
    rounds: List[Round],
    bodies: List[List[int]],
    skips: List[int],
    tokenizer: Tokenizer,
    length: int,
) -> EncodedRow:
    import numpy as np

    ids = [tokenizer.bos_id]
    for body in bodies:
        ids.extend(body)
        ids.append(tokenizer.eos_id)
    input_ids = np.full(max(len(ids), length), tokenizer.pad_id, dtype=np.int32)
    input_ids[: len(ids)] = ids
    labels = input_ids.copy()
    end, broken = _mask_questions(labels, rounds, bodies, skips)
    # MindFormers counts what is not padding: an unknown token in the text looks like padding, and the row is masked.
    mismatch = end != len(ids) - ids.count(tokenizer.pad_id)
    if end < length and mismatch:
        # Longer than a row and masked: MindFormers forgets to cut these labels and stops with an error.
        labels[:] = IGNORE_TOKEN_ID
    labels = labels[:length]
    reason = ""
    if not (labels != IGNORE_TOKEN_ID).any():
        reason = _masked_reason(conversation, broken, end, length, ids.count(tokenizer.pad_id) > 0)
    return EncodedRow(
        conversation.number, conversation.id, input_ids[:length], labels, len(ids), len(ids) > length, reason
    )


def _mask_questions(
    labels: npt.NDArray[np.int32], rounds: List[Round], bodies: List[List[int]], skips: List[int]
) -> Tuple[int, Optional[Round]]:
    """Ignore bos, the questions, and all from the first round that is not one question and one answer.

    Returns where the last sound round ends, and the round that broke off, if one did.
    """
    labels[0] = IGNORE_TOKEN_ID
    end = 1
    broken: Optional[Round] = None
    for item, body, skip in zip(rounds, bodies, skips):
        if item.parts != 2:
            broken = item
            break
        labels[end : end + skip] = IGNORE_TOKEN_ID
        end += len(body) + 1
    labels[end:] = IGNORE_TOKEN_ID
    return end, broken


def _masked_reason(conversation: Conversation, broken: Optional[Round], end: int, length: int, unknown: bool) -> str:
    """Why there is nothing to learn: a key of REASONS."""
    if end >= length:
        return "cut_off"
    if broken is not None and broken.parts > 2:
        return "opening_in_text"
    if broken is not None:
        if any(turn.speaker == "gpt" and not turn.text for turn in conversation.turns):
            return "empty_answer"
        return "no_answer" if conversation.turns[-1].speaker == "human" else "separator_in_text"
    return "unknown_token" if unknown else "length_mismatch"
