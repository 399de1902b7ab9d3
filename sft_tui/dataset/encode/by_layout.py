"""Encodes conversations with a FastChat template: every one but vicuna_v1.1 with a sentencepiece tokenizer."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Iterator, List, Sequence, Tuple

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, EncodedRow
from sft_tui.dataset.encode.prompt import Prompt, write_prompt
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.template.dialog import Dialog, read_dialog
from sft_tui.dataset.template.layouts import load_layout
from sft_tui.dataset.tokenizer.load import Tokenizer

Written = Tuple[Dialog, Prompt]


class LayoutEncoder:
    """Writes, tokenizes and labels: int32 rows of at most `length` tokens, with bos where the tokenizer puts one.

    A token is trainable when it begins in an answer: one that begins in the words before an answer and goes over into
    it is not, one that begins in the answer's end is. Special tokens are for the template to write. Where one stands
    in a text of the conversation, the tokenizer takes it for the real one: a row with more of them than the template
    writes is fully masked, with a reason.
    """

    def __init__(self, tokenizer: Tokenizer, template: str, trained_end: int, length: int) -> None:
        import numpy as np

        self._tokenizer = tokenizer
        self._layout = load_layout(template)
        self._trained_end = trained_end
        self._length = length
        special = {text: number for text, number in tokenizer.special_tokens.items() if number != tokenizer.unk_id}
        self._is_special = np.zeros(tokenizer.vocab_size, dtype=bool)
        self._is_special[list(special.values())] = True
        longest_first = sorted(special, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._count_special = lru_cache(maxsize=None)(self._count_written)

    def write(self, conversation: Conversation) -> Written:
        """Write a conversation as text. Raises InvalidInputError that does not name the record."""
        dialog = read_dialog(conversation, self._layout)
        return dialog, write_prompt(dialog, self._layout, self._trained_end)

    def encode_batch(self, batch: Sequence[Tuple[Conversation, Written]]) -> Iterator[EncodedRow]:
        """Yield an EncodedRow for each conversation, in order: int32 (min(tokens, length),)."""
        encoded = self._tokenizer.encode_with_offsets([prompt.text for _, (_, prompt) in batch])
        for (conversation, (dialog, prompt)), (ids, begins) in zip(batch, encoded):
            yield self._assemble(conversation, dialog, prompt, ids, begins)

    def _assemble(
        self, conversation: Conversation, dialog: Dialog, prompt: Prompt, ids: List[int], begins: List[int]
    ) -> EncodedRow:
        import numpy as np

        tokenizer = self._tokenizer
        adds_bos = tokenizer.adds_bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]
        input_ids = np.array([tokenizer.bos_id, *ids] if adds_bos else ids, dtype=np.int32)
        written = self._count_special(len(dialog.texts), dialog.system is not None)
        injected = int(self._is_special[input_ids[adds_bos:]].sum()) != written
        whole = all(dialog.texts[1::2])
        labels = np.full(len(input_ids), IGNORE_TOKEN_ID, dtype=np.int32)
        for place, (begin, end) in enumerate(prompt.answers if whole and not injected else ()):
            if 2 * place + 1 in dialog.untrained:
                continue
            first, last = bisect_left(begins, begin) + adds_bos, bisect_left(begins, end) + adds_bos
            labels[first:last] = input_ids[first:last]
        kept = labels[: self._length]
        trained = int((kept != IGNORE_TOKEN_ID).sum())
        reason = ""
        if not trained:
            reason = "special_in_text" if injected else "cut_off" if whole else "empty_answer"
            reason = reason if prompt.answers or injected else "no_answer"
            if reason == "cut_off" and len(dialog.untrained) == len(prompt.answers):
                reason = "not_trained"
        return EncodedRow(
            conversation.number,
            conversation.id,
            input_ids[: self._length],
            kept,
            len(input_ids),
            trained,
            len(input_ids) > self._length,
            reason,
            dialog.left_out,
        )

    def _count_written(self, turns: int, system: bool) -> int:
        plain = Dialog("a" if system else None, ("a",) * turns)
        return len(self._special.findall(write_prompt(plain, self._layout, self._trained_end).text))
