"""Encodes conversations with the chat template of the model's folder, and proves the labels of every row."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, FrozenSet, Iterator, List, Sequence, Tuple

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, EncodedRow
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.remarks import Remark
from sft_tui.dataset.template.chat import chat_roles, load_chat_template
from sft_tui.dataset.template.dialog import alternate
from sft_tui.dataset.template.messages import ChangedTextError, ChatPrompt, Message
from sft_tui.dataset.tokenizer.hf import HfTokenizer, Spans
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from sft_tui.dataset.tokenizer.hf import Ints


THOUGHT_DROPPED = "reasoning_content of an earlier turn, which the chat template leaves out"


class ChatWritten:
    """A rendered conversation, ready for the tokenizer; `left_out`: a first turn of the assistant was dropped.

    `untrained`: which of the prompt's answers are not to be trained on. `remarks`: what the template left out.
    """

    __slots__ = ("left_out", "prompt", "remarks", "untrained")

    def __init__(
        self, prompt: ChatPrompt, left_out: bool, untrained: FrozenSet[int], remarks: Tuple[Remark, ...] = ()
    ) -> None:
        self.prompt, self.left_out, self.untrained, self.remarks = prompt, left_out, untrained, remarks


class ChatEncoder:
    """Renders, tokenizes and labels: int32 rows of at most `length` tokens.

    Trainable tokens are those of each answer's text and the token that ends it. A row is fully masked, with a reason,
    when those tokens do not spell exactly that, and when a text has a special token in it, which the tokenizer would
    take for the real one.
    """

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self._template = load_chat_template(tokenizer)
        assert isinstance(tokenizer, HfTokenizer)
        self._tokenizer = tokenizer
        self._length = length

    def write(self, conversation: Conversation) -> ChatWritten:
        """Render a conversation. Raises InvalidInputError that does not name the record."""
        turns = conversation.turns
        system = int(bool(turns) and turns[0].speaker == "system")
        left_out = len(turns) > system and turns[system].speaker == "gpt"
        marks = [turn.trained for turn in turns[system + left_out :] if turn.speaker == "gpt"]
        untrained = frozenset(place for place, trained in enumerate(marks) if not trained)
        if conversation.is_plain:
            texts = alternate(conversation, start=system + left_out)
            if not texts:
                raise InvalidInputError("it has no turn from `human`.", "Remove the record.")
            speakers = ["human", "gpt"] * len(texts)
            roles = chat_roles((["system"] if system and turns[0].text else []) + speakers[: len(texts)])
            said = (turns[0].text, *texts) if system and turns[0].text else texts
            try:
                return ChatWritten(self._template.write(roles, said), left_out, untrained)
            except ChangedTextError:
                if not any("</think>" in turn.text for turn in turns if turn.speaker == "gpt"):
                    raise
        return self._write_messages(conversation, system, left_out, untrained)

    def _write_messages(
        self, conversation: Conversation, system: int, left_out: bool, untrained: FrozenSet[int]
    ) -> ChatWritten:
        """With thoughts, tools, or calls of tools."""
        turns = conversation.turns
        kept = (*(turn for turn in turns[:system] if turn.text), *turns[system + left_out :])
        if all(turn.speaker != "human" for turn in kept):
            raise InvalidInputError("it has no turn from `human`.", "Remove the record.")
        messages: List[Message] = [
            {"role": role, "content": turn.text, **{name: json.loads(value) for name, value in turn.given}}
            for role, turn in zip(chat_roles([turn.speaker for turn in kept]), kept)
        ]
        tools = json.loads(conversation.tools) if conversation.tools else None
        prompt, places = self._template.write_messages(messages, tools)
        remarks: Tuple[Remark, ...] = (("dropped", THOUGHT_DROPPED),) if places else ()
        return ChatWritten(prompt, left_out, untrained, remarks)

    def encode_batch(self, batch: Sequence[Tuple[Conversation, ChatWritten]]) -> Iterator[EncodedRow]:
        """Yield an EncodedRow for each conversation, in order: int32 (min(tokens, length),)."""
        prompts = [written.prompt for _, written in batch]
        places = [[(answer.begin, answer.stop) for answer in prompt.answers] for prompt in prompts]
        encoded = self._tokenizer.encode_spans([prompt.text for prompt in prompts], places)
        for (conversation, written), (ids, spans) in zip(batch, encoded):
            yield self._assemble(conversation, written, ids, spans)

    def _assemble(self, conversation: Conversation, written: ChatWritten, ids: Ints, spans: Spans) -> EncodedRow:
        import numpy as np

        prompt = written.prompt
        labels = np.full(len(ids), IGNORE_TOKEN_ID, dtype=np.int32)
        reason = "special_in_text" if prompt.injected else "no_answer"
        if prompt.answers:
            reason = self._why_not(prompt, ids, spans)
        if not reason:
            for place, (first, last) in enumerate(spans):
                if place not in written.untrained:
                    labels[first:last] = ids[first:last]
        kept = labels[: self._length]
        trained = int(np.count_nonzero(kept != IGNORE_TOKEN_ID))
        return EncodedRow(
            conversation.number,
            conversation.id,
            ids[: self._length],
            kept,
            len(ids),
            trained,
            len(ids) > self._length,
            reason or ("" if trained else self._why_none(written)),
            written.left_out,
            written.remarks,
        )

    def _why_none(self, written: ChatWritten) -> str:
        return "not_trained" if len(written.untrained) == len(written.prompt.answers) else "cut_off"

    def _why_not(self, prompt: ChatPrompt, ids: Ints, spans: Spans) -> str:
        """Why a row cannot be learned, a key of REASONS; "" when it can."""
        if not all(answer.says for answer in prompt.answers):
            return "empty_answer"
        if prompt.injected:
            return "special_in_text"
        for answer, (first, last) in zip(prompt.answers, spans):
            spelled, meant = self._tokenizer.spell(ids[first:last].tolist()), answer.text + answer.end
            # tokenizers may compose letters and their accents, and so does the model's input
            if spelled != meant and spelled != unicodedata.normalize("NFC", meant):
                return "not_spelled"
        return ""
