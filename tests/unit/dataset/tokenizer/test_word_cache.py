"""Encoding word by word gives what sentencepiece gives for the whole text, or is not done."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from sft_tui.dataset.tokenizer import word_cache
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.dataset.tokenizer.sentencepiece import SentencePieceTokenizer
from sft_tui.dataset.tokenizer.word_cache import WordCache, token_begins, unpack_ids, works_by_words

BLANKS = [
    " ",
    "  ",
    "     ",
    "\n",
    "\t",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\x00",
    "\u2581",
    "\u2581\u2581",
]
WORDS = ["a", "the", "Answer:", "é", "e\u0301", "你好", "\U0001f600", "x" * 60, "<0x0A>", "<s", "</", "12"]
PIECE = st.one_of(st.sampled_from(BLANKS + WORDS), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
TEXT = st.lists(PIECE, max_size=14).map("".join)


@pytest.fixture(scope="module")
def processor(model_file):
    loaded = sentencepiece.SentencePieceProcessor()
    loaded.Load(str(model_file))
    return loaded


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains a small model of any kind; as it is, Llama's settings."""
    rng = random.Random(1)
    lines = [
        " ".join(rng.choice(["the", "answer", "of", "a b", "question", "12"]) for _ in range(9)) for _ in range(50)
    ]

    def make(**changes):
        settings_ = {
            "model_type": "bpe",
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
        }
        prefix = tmp_path_factory.mktemp("model") / "m"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(prefix),
            vocab_size=300,
            hard_vocab_limit=False,
            minloglevel=2,
            **{**settings_, **changes},
        )
        return prefix.with_suffix(".model")

    return make


def load(path):
    loaded = sentencepiece.SentencePieceProcessor()
    loaded.Load(str(path))
    return loaded


@given(texts=st.lists(TEXT, max_size=4))
@example(texts=["", " ", "  ", "a ", " a", "a  b", "\u2581", "a \u2581b"])
def test_words_add_up_to_the_text(processor, texts):
    cache = WordCache(processor)
    for _ in range(2):  # new words, then known ones
        assert [unpack_ids(packed) for packed in cache.pack(texts)] == processor.encode(texts)


@given(text=TEXT)
@example(text="a \u2581b")
def test_every_token_begins_where_sentencepiece_says(processor, text):
    cache = WordCache(processor)
    for _ in range(2):
        assert cache.encode_with_offsets([text]) == [(processor.encode(text), token_begins(processor, text))]


@given(question=TEXT, answer=TEXT, special=st.sampled_from(["", "", "<s>", "<unk>"]))
def test_the_question_is_counted_without_encoding_it(tokenizer, question, answer, special):
    opening = f"{question}{special} ASSISTANT: "
    text = opening + answer
    [(packed, count)] = tokenizer.pack_openings([(text, len(opening))])
    assert unpack_ids(packed) == tokenizer.encode(text)
    assert count == len(tokenizer.encode(opening))


@pytest.mark.parametrize(
    ("changes", "by_words"),
    [
        ({}, True),
        ({"byte_fallback": False}, True),
        ({"user_defined_symbols": ["<|im_end|>", "  "]}, True),
        ({"model_type": "unigram"}, False),
        ({"normalization_rule_name": "nmt_nfkc"}, False),
        ({"remove_extra_whitespaces": True}, False),
        ({"split_by_whitespace": False}, False),
        ({"add_dummy_prefix": False}, False),
        ({"treat_whitespace_as_suffix": True}, False),
    ],
)
def test_other_models_are_asked_for_whole_texts(train, changes, by_words):
    path = train(**changes)
    plain = load(path)
    assert works_by_words(plain) == by_words
    ours = SentencePieceTokenizer(path, plain)
    texts = ["the answer", " of  a b ", "", "é 你好\n the", "<|im_end|> the", "a\u0301 a ﬁ", "你好吗 x 你好吗你好吗好"]
    assert ours.encode_many(texts) == load(path).encode(texts)
    for text in texts:
        [(ids, begins)] = ours.encode_with_offsets([text])
        if "<|" not in text:
            assert ids == plain.encode(text)
        if "user_defined_symbols" not in changes:  # sentencepiece gives all spaces of such a symbol one place
            assert begins == token_begins(plain, text)
        assert len(begins) == len(ids) and begins == sorted(begins)
        opening = f"{text} ASSISTANT: "
        [(packed, count)] = ours.pack_openings([(opening + text, len(opening))])
        assert (unpack_ids(packed), count) == (ours.encode(opening + text), len(ours.encode(opening)))


def test_what_is_kept_has_an_end(processor, monkeypatch):
    monkeypatch.setattr(word_cache, "_MOST_WORDS", 50)
    cache = WordCache(processor)
    for start in range(0, 1000, 10):
        texts = [f"w{number} {'x' * number}" for number in range(start, start + 10)]
        assert [unpack_ids(packed) for packed in cache.pack(texts)] == processor.encode(texts)
        assert len(cache._known) <= 51
        assert max(map(len, cache._known)) <= 40


def test_control_pieces_are_found_in_a_text(train):
    path = train(control_symbols=["[gMASK]", "<sep>"], user_defined_symbols=["<|im_end|>"])
    ours = SentencePieceTokenizer(path, load(path))
    text = "the [gMASK] answer<sep><|im_end|>"
    [(ids, begins)] = ours.encode_with_offsets([text])
    for token in ("[gMASK]", "<sep>", "<|im_end|>"):
        assert begins[ids.index(ours.special_tokens[token])] == text.index(token)


def test_two_threads_may_encode_at_the_same_time(model_file):
    """The wizard's looks and its view of a record share one tokenizer."""
    tokenizer = load_tokenizer(model_file)
    texts = [[f"{'长' * (41 + n % 7)}{thread} word{n}" for n in range(60)] for thread in range(2)]
    wanted = [tokenizer.encode_many(part) for part in texts]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            for _ in range(10):
                assert list(pool.map(tokenizer.encode_many, texts)) == wanted
    finally:
        sys.setswitchinterval(interval)
