from __future__ import annotations

import pytest

from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.errors import InvalidInputError


def test_special_tokens_in_a_text_are_tokens(tokenizer):
    assert tokenizer.encode("<s>") == [tokenizer.bos_id]
    assert tokenizer.encode("a</s>b") == [*tokenizer.encode("a"), tokenizer.eos_id, *tokenizer.encode("b")]
    assert tokenizer.encode("") == []
    assert tokenizer.encode("< s > <x>") == tokenizer.encode_many(["z", "< s > <x>"])[1]


def test_inspecting_a_tokenizer_tells_its_vocabulary(model_file):
    assert load_tokenizer(model_file).vocab_size == 1024


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"version": "1.0"}', "is JSON"),
        (b"some other thing", "not a sentencepiece model"),
        (bytes(1000), "not a sentencepiece model"),
    ],
)
def test_what_is_no_tokenizer_is_named(tmp_path, content, words):
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        load_tokenizer(path)
    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_a_folder_and_a_cut_off_file_are_no_tokenizers(tmp_path, model_file):
    with pytest.raises(InvalidInputError, match="has neither"):
        load_tokenizer(tmp_path)
    half = tmp_path / "half.model"
    half.write_bytes(model_file.read_bytes()[:-500])
    with pytest.raises(InvalidInputError, match="not a sentencepiece model"):
        load_tokenizer(half)


def test_a_damaged_model_is_named(tmp_path, model_file):
    damaged = tmp_path / "tokenizer.model"
    damaged.write_bytes(model_file.read_bytes().replace(b"the", b"\xffhe"))
    with pytest.raises(InvalidInputError, match="is a damaged sentencepiece model"):
        load_tokenizer(damaged)


def test_a_folder_means_the_tokenizer_in_it(golden, model_file):
    assert load_tokenizer(golden).path == model_file
    assert load_tokenizer(golden).vocab_size == 1024


def test_one_thread_gives_what_many_give(model_file):
    texts = ["the answer", "", "你好 <s> a", "a " * 50]
    one, many = load_tokenizer(model_file, threads=1), load_tokenizer(model_file, threads=4)
    assert one.encode_many(texts) == many.encode_many(texts)
