"""Finds a token for MindFormers' `pad_token_id` that stands in no row."""

from __future__ import annotations

from sft_tui.dataset.tokenizer.load import Tokenizer


def find_padding(tokenizer: Tokenizer, vocab_size: int) -> int:
    """The id: below `vocab_size`, the model's number of embeddings.

    MindFormers' Llama hides places with this token from attention and leaves them out of the loss (measured with
    1.9.0). So a token that begins or ends a text is none, although many tokenizers name it as their padding.
    """
    in_rows = {tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id}
    if tokenizer.pad_id not in in_rows:
        return tokenizer.pad_id
    if tokenizer.vocab_size < vocab_size:
        return vocab_size - 1  # an embedding that no token has
    unused = (
        number
        for text, number in tokenizer.special_tokens.items()
        if number not in in_rows and any(word in text.lower() for word in ("pad", "reserved", "unused"))
    )
    return next(unused, tokenizer.pad_id)
