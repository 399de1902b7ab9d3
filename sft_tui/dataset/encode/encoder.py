"""Encodes conversations to token ids and labels, whichever template and tokenizer: chooses the encoder."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Protocol, Sequence, Tuple, TypeVar, Union

from sft_tui.dataset.encode.by_chat_template import ChatEncoder
from sft_tui.dataset.encode.by_layout import LayoutEncoder
from sft_tui.dataset.encode.encoded_row import EncodedRow
from sft_tui.dataset.encode.llama_preprocess import ReferenceEncoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.chat import CHAT
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, check_template
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.dataset.tokenizer.sentencepiece import SentencePieceTokenizer
from sft_tui.errors import InvalidInputError

BATCH = 128
MAX_SEQ_LENGTH = 1_048_576  # as in a profile
_Written = TypeVar("_Written")


class _Way(Protocol[_Written]):
    """How conversations become rows: first what is written of each, which may fail, then the tokens of many."""

    def write(self, conversation: Conversation) -> _Written: ...

    def encode_batch(self, batch: Sequence[Tuple[Conversation, _Written]]) -> Iterator[EncodedRow]: ...


def check_seq_length(seq_length: int) -> None:
    """Raise InvalidInputError unless rows of that length can be made."""
    if not 1 <= seq_length <= MAX_SEQ_LENGTH:
        message = f"seq_length is {seq_length}; it must lie between 1 and {MAX_SEQ_LENGTH}."
        raise InvalidInputError(message, "For example 4096.")


class Encoder:
    """Encodes conversations with one template and tokenizer to int32 rows of at most `length` tokens.

    `length`: tokens, seq_length + 1 for training, seq_length for evaluation. vicuna_v1.1 with a sentencepiece tokenizer
    gives the rows of MindFormers llama_preprocess; `chat` is the template of the tokenizer's own folder; all else goes
    by the template's layout. Raises InvalidInputError for a template that cannot be used, or not with this tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, template: str, length: int) -> None:
        check_seq_length(min(length, MAX_SEQ_LENGTH))  # a record that is shown is not truncated
        self.tokenizer, self.template, self.length = tokenizer, template, length
        self._way: _Way[Any]
        if template == CHAT:
            self._way = ChatEncoder(tokenizer, length)
            return
        trained_end = check_template(template, tokenizer)
        if template == DEFAULT_TEMPLATE and isinstance(tokenizer, SentencePieceTokenizer):
            self._way = ReferenceEncoder(tokenizer, length)
        else:
            self._way = LayoutEncoder(tokenizer, template, trained_end, length)

    def encode(self, batch: Sequence[Conversation], source: str = "") -> List[Union[EncodedRow, BadRecord]]:
        """An EncodedRow for each conversation, in order; a BadRecord for one that the template cannot write."""
        written: List[Tuple[Conversation, Any]] = []
        entries: List[Optional[BadRecord]] = []
        for conversation in batch:
            try:
                written.append((conversation, self._way.write(conversation)))
                entries.append(None)
            except InvalidInputError as error:
                entries.append(BadRecord(source, conversation.number, "conversations", error.message, error.hint))
        rows = self._way.encode_batch(written)
        return [next(rows) if entry is None else entry for entry in entries]
