"""Rows against MindFormers' own LlamaTokenizer, on text that is as awkward as it gets."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation, Turn
from tests.unit.dataset.rows import padded

pytestmark = pytest.mark.real

PIECES = [
    "<s>",
    "</s>",
    "<unk>",
    " ASSISTANT: ",
    "ASSISTANT: ",
    " ASSISTANT:",
    "USER: ",
    " ",
    "  ",
    "\n",
    "\t",
    "\u00a0",
]
PIECES += [
    "\u3000",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u2581",
    "\x00",
    "\x1b",
    "\u2028",
    "<",
    "<s",
    "/s>",
    "<0x0A>",
    "\u0301",
]
PIECES += ["\ufffd", "\U0001f600", "你好", "the", " answer", "x" * 50, "123", "ﬁ", "."]
TEXT = st.lists(st.one_of(st.sampled_from(PIECES), st.characters(exclude_categories=["Cs"])), max_size=14).map("".join)


@pytest.fixture(scope="module")
def theirs(model_file):
    from mindformers.models.llama.llama_tokenizer import LlamaTokenizer

    loaded = LlamaTokenizer(vocab_file=str(model_file))
    loaded.add_bos_token = loaded.add_eos_token = True
    return loaded


@st.composite
def turns(draw):
    texts = draw(st.lists(TEXT, min_size=1, max_size=6))
    said = [(("human", "gpt")[index % 2], text) for index, text in enumerate(texts)]
    first = draw(st.sampled_from([None, None, None, "gpt", "system"]))
    return said if first is None else [(first, draw(TEXT)), *(said if draw(st.booleans()) else [])]


def expected(theirs, said: List[Tuple[str, str]], length: int):
    """What the reference is described to do; None for the labels where it stops with ragged rows."""
    get_conv_template = pytest.importorskip("fastchat.conversation").get_conv_template
    template = get_conv_template("vicuna_v1.1")
    for index, (_, text) in enumerate(said if said[0][0] == "human" else said[1:]):
        template.append_message(template.roles[index % 2], text)
    rounds: List[str] = []
    for text in template.get_prompt().split("</s>"):
        if not text:
            break
        rounds.append(text)
    ids = [theirs.bos_token_id]
    for text in rounds:
        ids += theirs(text)["input_ids"][1:]
    padded = np.array(ids + [theirs.pad_token_id] * (length - len(ids)))
    trained = np.zeros(len(padded), dtype=bool)
    end = 1
    for text in rounds:
        question, *answers = text.split(" ASSISTANT: ")
        if len(answers) != 1:
            break
        begin = end + len(theirs(question + " ASSISTANT: ")["input_ids"]) - 3
        end += len(theirs(text)["input_ids"]) - 1
        trained[begin:end] = True
    if end < length and end != (padded != theirs.pad_token_id).sum():
        trained[:] = False
    labels = np.where(trained, padded, IGNORE_TOKEN_ID)
    ragged = end < length < len(labels)
    return padded[:length], None if ragged else labels[:length]


@given(said=turns(), length=st.sampled_from([1, 2, 30, 64, 100, 257, 400]))
def test_rows_are_those_of_the_reference(theirs, tokenizer, said, length):
    conversation = Conversation(1, "1", tuple(Turn(speaker, text) for speaker, text in said))
    row = Encoder(tokenizer, "vicuna_v1.1", length).encode([conversation])[0]
    assert not isinstance(row, BadRecord)
    input_ids, labels = padded(row, length, tokenizer.pad_id)
    wanted_ids, wanted_labels = expected(theirs, said, length)
    np.testing.assert_array_equal(input_ids, wanted_ids)
    if wanted_labels is None:
        assert row.cut
    else:
        np.testing.assert_array_equal(labels, wanted_labels)
    assert row.trained_tokens == int((labels != IGNORE_TOKEN_ID).sum())
