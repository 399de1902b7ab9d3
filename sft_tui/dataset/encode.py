"""Turns conversations into rows of token ids with labels on the answers alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar, Union

from sft_tui.dataset.bad_record import BadRecord
from sft_tui.dataset.conversation import Conversation
from sft_tui.dataset.encoded_row import IGNORE_TOKEN_ID, REASONS, EncodedRow
from sft_tui.dataset.laid_out import LayoutEncoder
from sft_tui.dataset.prompt import build_prompt
from sft_tui.dataset.sentencepiece_tokenizer import SentencePieceTokenizer
from sft_tui.dataset.templates import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.tokenizer import Tokenizer, inspect_tokenizer, load_tokenizer
from sft_tui.errors import InvalidInputError

__all__ = [
    "DEFAULT_TEMPLATE",
    "IGNORE_TOKEN_ID",
    "REASONS",
    "EncodedRow",
    "Encoder",
    "Tokenizer",
    "build_prompt",
    "check_seq_length",
    "encode_conversation",
    "encode_conversations",
    "inspect_tokenizer",
    "load_tokenizer",
]

BATCH = 128
_Text = TypeVar("_Text")


def check_seq_length(seq_length: int) -> None:
    """Raise InvalidInputError unless rows of that length can be made."""
    if seq_length < 1:
        raise InvalidInputError(f"seq_length is {seq_length}; it must be at least 1.", "For example 4096.")


class Encoder:
    """Encodes conversations with one template and tokenizer to rows of at most `length` tokens.

    `length` is seq_length + 1 for training, seq_length for evaluation. vicuna_v1.1 with a sentencepiece tokenizer
    gives the rows of MindFormers llama_preprocess; all else goes by the template's layout. Raises InvalidInputError
    for a template that cannot be used, or not with this tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, template: str, length: int) -> None:
        check_seq_length(length)
        trained_end = check_template(template, tokenizer)
        self.tokenizer, self.template, self.length = tokenizer, template, length
        self._llama: Optional[SentencePieceTokenizer] = None
        self._layout: Optional[LayoutEncoder] = None
        if template == DEFAULT_TEMPLATE and isinstance(tokenizer, SentencePieceTokenizer):
            self._llama = tokenizer
        else:
            self._layout = LayoutEncoder(tokenizer, template, trained_end, length)

    def encode(self, batch: Sequence[Conversation], source: str = "") -> List[Union[EncodedRow, BadRecord]]:
        """A row for each conversation, in order; a BadRecord for one that cannot be written with the template."""
        bad: Dict[int, BadRecord] = {}
        rows = self._rows(batch, bad, source)
        return [bad[index] if index in bad else next(rows) for index in range(len(batch))]

    def _rows(self, batch: Sequence[Conversation], bad: Dict[int, BadRecord], source: str) -> Iterator[EncodedRow]:
        """The rows of the good ones; `bad` is filled before this returns."""
        if self._layout is not None:
            prompts = list(_good(batch, self._layout.write, bad, source))
            return self._layout.encode_batch(prompts)
        from sft_tui.dataset import reference

        assert self._llama is not None
        texts = _good(batch, reference.build_prompt, bad, source)
        rounds = [(conversation, reference.split_rounds(text)) for conversation, text in texts]
        return reference.encode_batch(rounds, self._llama, self.length)


def _good(
    batch: Sequence[Conversation], write: Callable[[Conversation], _Text], bad: Dict[int, BadRecord], source: str
) -> Iterator[Tuple[Conversation, _Text]]:
    """The conversations that can be written, with what was written; the others go to `bad`."""
    for index, conversation in enumerate(batch):
        try:
            yield conversation, write(conversation)
        except InvalidInputError as error:
            bad[index] = BadRecord(source, conversation.number, "conversations", error.message, error.hint)


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
    """Yield a row of seq_length + 1 tokens at most for each conversation, in order, in batches: memory stays flat.

    Raises InvalidInputError for turns that cannot be written with the template; `source` is the file it names.
    """
    check_seq_length(seq_length)
    encoder = Encoder(tokenizer, template, seq_length + 1)
    waiting = iter(conversations)
    while True:
        batch = list(islice(waiting, BATCH))
        if not batch:
            return
        for row in encoder.encode(batch, str(source or "")):
            if isinstance(row, BadRecord):
                raise row.error()
            yield row
