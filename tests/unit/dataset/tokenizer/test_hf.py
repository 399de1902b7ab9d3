"""Hugging Face tokenizers, built here: byte-level BPE with the special tokens of Llama 3 and of Qwen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, REASONS
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.template.layouts import check_template
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.errors import InvalidInputError

LLAMA_3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXTS = [
    "system user assistant the answer is a question of the day\n\n",
    "def f(x):\n    return x\n",
    "你好 世界\n",
] * 5


def build(folder: Path, special: list[str], *, bos: str | None, eos: str, pad: str | None) -> Path:
    """A folder with a tokenizer.json and a tokenizer_config.json as the hub has them."""
    folder.mkdir()
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    trim = processors.ByteLevel(trim_offsets=True)
    made.post_processor = trim
    if bos:
        first = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, special.index(bos))])
        made.post_processor = processors.Sequence([trim, first])
    made.enable_truncation(7)
    made.save(str(folder / "tokenizer.json"))
    config = {"bos_token": bos, "eos_token": {"content": eos, "lstrip": False}, "pad_token": pad}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def llama_3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "llama-3"
    build(folder, LLAMA_3, bos="<|begin_of_text|>", eos="<|eot_id|>", pad=None)
    return load_tokenizer(folder, threads=1)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "qwen"
    return load_tokenizer(build(folder, QWEN, bos=None, eos="<|im_end|>", pad="<|endoftext|>"), threads=1)


def talk(*texts: str, system: str | None = None) -> Conversation:
    turns = tuple(Turn(("human", "gpt")[index % 2], text) for index, text in enumerate(texts))
    return Conversation(1, "1", (() if system is None else (Turn("system", system),)) + turns)


def learned(tokenizer, row):
    return tokenizer.decode(row.input_ids[row.labels != IGNORE_TOKEN_ID].tolist())


def test_ids_of_special_tokens_come_from_the_files_beside_it(llama_3, qwen):
    assert (llama_3.bos_id, llama_3.eos_id, llama_3.pad_id, llama_3.adds_bos) == (0, 4, 4, True)
    assert (qwen.bos_id, qwen.eos_id, qwen.pad_id, qwen.adds_bos) == (None, 2, 0, False)
    assert llama_3.vocab_size == load_tokenizer(llama_3.path.parent).vocab_size


def test_generation_config_names_them_when_nothing_else_does(tmp_path):
    folder = build(tmp_path / "x", QWEN, bos=None, eos="<|im_end|>", pad=None)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(InvalidInputError, match="names the eos token"):
        load_tokenizer(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2], "pad_token_id": 0}))
    assert (load_tokenizer(folder).eos_id, load_tokenizer(folder).pad_id) == (1, 0)
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    assert load_tokenizer(folder).eos_id == 2
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"tokenizer_config.json is not valid JSON"):
        load_tokenizer(folder)


def test_texts_are_encoded_alike_with_one_thread_and_with_many(llama_3):
    many = load_tokenizer(llama_3.path, threads=4)
    texts = ["the answer", "", "你好 a", "a " * 50]
    assert many.encode_many(texts) == llama_3.encode_many(texts) == [llama_3.encode(text) for text in texts]
    assert len(llama_3.encode("a " * 50)) > 7  # the file's own truncation is switched off
    assert [ids for ids, _ in llama_3.encode_with_offsets(texts)] == llama_3.encode_many(texts)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4), cut=st.integers(0, 9)
)
def test_stretches_are_found_without_the_librarys_account_of_places(qwen, texts, cut):
    places = [[(0, min(cut, len(text))), (min(cut, len(text)), len(text))] for text in texts]
    for (ids, spans), (known, begins), wanted in zip(
        qwen.encode_spans(texts, places), qwen.encode_with_offsets(texts), places
    ):
        assert ids.tolist() == known
        assert spans == [tuple(sum(begin < at for begin in begins) for at in place) for place in wanted]


def test_letters_that_the_tokenizer_composes_have_their_places(tmp_path):
    folder = build(tmp_path / "x", QWEN, bos=None, eos="<|im_end|>", pad=None)
    data = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**data, "normalizer": {"type": "NFC"}}))
    text = "e\u0301 the answer<|im_end|>\n"
    [(ids, [(first, last)])] = load_tokenizer(folder, threads=1).encode_spans([text], [[(2, len(text) - 1)]])
    assert load_tokenizer(folder).decode(ids[first:last].tolist()) == " the answer<|im_end|>"


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_is_one_thread(qwen, threads):
    code = (
        "import numpy, os\nfrom pathlib import Path\nfrom sft_tui.dataset.tokenizer.load import load_tokenizer\n"
        f"tokenizer = load_tokenizer(Path({str(qwen.path)!r}), threads={threads})\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "list(tokenizer.encode_spans(['the answer'] * 50, [[]] * 50))\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    # one of this process's own tests may have said so already
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    started = int(done.stdout)
    assert (started == 0) == (threads == 1)


def test_llama_3_is_written_as_its_model_card_says(llama_3):
    row = Encoder(llama_3, "llama-3", 200).encode([talk(" one? ", "1\n", "two?", "2", system="Be brief.")])[0]
    header = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
    said = [("system", "Be brief."), ("user", "one?"), ("assistant", "1"), ("user", "two?"), ("assistant", "2")]
    assert llama_3.decode(row.input_ids.tolist()) == "<|begin_of_text|>" + "".join(header.format(*x) for x in said)
    assert learned(llama_3, row) == "1<|eot_id|>2<|eot_id|>"


def test_qwen_learns_the_end_but_not_the_line_break_behind_it(qwen):
    row = Encoder(qwen, "qwen-7b-chat", 200).encode([talk("one?", "1", "two?", "2")])[0]
    assert qwen.decode(row.input_ids.tolist()) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\none?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\ntwo?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>"
    )
    assert learned(qwen, row) == "1<|im_end|>2<|im_end|>"
    plain = Encoder(qwen, "chatml", 200).encode([talk("one?", "1")])[0]
    assert qwen.decode(plain.input_ids.tolist()).startswith("<|im_start|>user\none?<|im_end|>\n")


PIECES = st.sampled_from(
    [" ", "\n", "\n\n", "\t", "a", "the", "answer", "你好", "é", "\U0001f600", "<", "|>", "\u200b", "x9"]
)
ANSWER = st.lists(st.one_of(PIECES, st.text(st.characters(exclude_categories=["Cs"]), max_size=5)), max_size=12)


@given(parts=st.lists(ANSWER.map("".join), min_size=1, max_size=6), name=st.sampled_from(["llama-3", "chatml"]))
def test_what_is_learned_is_the_answers_and_their_ends(llama_3, qwen, parts, name):
    tokenizer, end = (llama_3, "<|eot_id|>") if name == "llama-3" else (qwen, "<|im_end|>")
    row = Encoder(tokenizer, name, 10_000).encode([talk(*parts)])[0]
    answers = [text.strip() if name == "llama-3" else text for text in parts[1::2]]
    if not all(answers) or not answers:
        assert row.masked_reason == ("empty_answer" if answers else "no_answer")
        return
    # A line break that is one token with that of the template before it is not learned.
    text = learned(tokenizer, row)
    for answer in answers:
        blank = len(answer) - len(answer.lstrip())
        found = next(n for n in range(blank + 1) if text.startswith(answer[n:] + end))
        assert name == "chatml" or found == 0
        text = text[len(answer[found:] + end) :]
    assert text == "" and row.trained_tokens > 0


@given(
    text=st.lists(st.sampled_from([*QWEN, "a", "\n", "<|im_", "end|>"]), max_size=5).map("".join),
    length=st.integers(1, 80),
)
def test_special_tokens_in_a_text_are_told(qwen, text, length):
    text = "".join(text)
    row = Encoder(qwen, "chatml", length).encode([talk(f"q {text}", "the answer")])[0]
    injected = any(token in text for token in QWEN)
    assert row.masked_reason in {"", *REASONS}
    assert len(row.input_ids) == len(row.labels) == min(length, row.tokens)
    if injected:
        assert row.masked_reason == "special_in_text" and row.trained_tokens == 0
    elif length >= row.tokens:
        assert learned(qwen, row) == "the answer<|im_end|>"


def test_templates_of_other_models_are_refused(llama_3, qwen):
    with pytest.raises(InvalidInputError, match=r"tokenizer.json: the tokenizer has no token `<\|im_end\|>`"):
        Encoder(llama_3, "qwen-7b-chat", 100)
    with pytest.raises(InvalidInputError, match="has no token `</s>`") as caught:
        check_template("vicuna_v1.1", qwen)
    assert "qwen-7b-chat" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"version": "1.0"}', "has no `model`"),
        (b'{"model": {"type": "BPE"}', "not valid JSON"),
        (b'{"model": {"type": "Nothing"}}', "no tokenizer"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 2147483648}, "merges": []}}', "the id 2147483648"),
        (b'{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', "the id -1"),
        (b"<!doctype html>", "web page"),
        (b'{"a": ' + b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "not a sentencepiece model"),
    ],
)
def test_what_is_no_tokenizer_is_named(tmp_path, content, words):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        load_tokenizer(tmp_path)
    assert "tokenizer.json" in caught.value.message
    assert words in caught.value.message


def test_nothing_of_it_is_imported_for_sentencepiece(model_file):
    code = (
        "import sys\nfrom pathlib import Path\nfrom sft_tui.dataset.encode.encoder import Encoder\n"
        "from sft_tui.dataset.tokenizer.load import load_tokenizer\n"
        f"Encoder(load_tokenizer(Path({str(model_file)!r})), 'llama-2', 9)\nprint('tokenizers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.fixture(scope="module")
def llama_2(tmp_path_factory):
    """As Llama 2 has it: no words, a space is a letter, and one is put before every stretch of text."""
    folder = tmp_path_factory.mktemp("hf")
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>"]
    byte_pieces = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special + byte_pieces, max_token_length=8)
    made.train_from_iterator(TEXTS, trainer)
    data = json.loads(made.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder, threads=1)


@pytest.mark.parametrize("name", ["vicuna_v1.1", "llama-2", "zephyr"])
def test_a_tokenizer_json_of_llama_2_learns_the_answers(llama_2, name):
    assert (llama_2.bos_id, llama_2.eos_id, llama_2.pad_id, llama_2.adds_bos) == (1, 2, 0, True)
    conversation = talk("a question?", "the answer", "and é?", "你好\n x")
    row = Encoder(llama_2, name, 1000).encode([conversation])[0]
    assert row.input_ids[0] == 1
    assert learned(llama_2, row).replace(" ", "") == "theanswer</s>你好\nx</s>"
    assert not row.left_out and not row.cut
