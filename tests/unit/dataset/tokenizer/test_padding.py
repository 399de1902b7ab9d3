"""The padding of MindFormers' Llama is a token that stands in no row: it is hidden from attention everywhere."""

from types import SimpleNamespace

import pytest

from sft_tui.dataset.tokenizer.padding import find_padding

LLAMA3 = {"<|begin|>": 90, "<|end|>": 91, "<|reserved_special_token_0|>": 92, "<|eot|>": 93}


def tokenizer(special=None, *, bos=90, eos=93, pad=93, unk=None, vocab=94):
    return SimpleNamespace(
        special_tokens=special or LLAMA3, bos_id=bos, eos_id=eos, pad_id=pad, unk_id=unk, vocab_size=vocab
    )


@pytest.mark.parametrize(
    ("found", "embeddings", "padding"),
    [
        (tokenizer(pad=91), 94, 91),  # of its own
        (tokenizer(), 94, 92),  # eos is its padding: a token that is kept for nothing
        (tokenizer(), 128, 127),  # an embedding that no token has
        (tokenizer({"<|begin|>": 90, "<|eot|>": 93}), 94, 93),  # nothing else is there
        (tokenizer(bos=91, pad=91), 94, 92),
    ],
)
def test_it_is_none_that_begins_or_ends_a_text(found, embeddings, padding):
    assert find_padding(found, embeddings) == padding
