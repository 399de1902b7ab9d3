from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.dataset.conversation import Conversation, Turn, read_conversations
from sft_tui.dataset.encode import (
    DEFAULT_TEMPLATE,
    IGNORE_TOKEN_ID,
    REASONS,
    build_prompt,
    encode_conversation,
    encode_conversations,
    inspect_tokenizer,
    load_tokenizer,
)
from sft_tui.errors import InvalidInputError


def talk(*texts: str, number: int = 1) -> Conversation:
    turns = tuple(Turn(("human", "gpt")[index % 2], text) for index, text in enumerate(texts))
    return Conversation(number, str(number), turns)


@pytest.mark.parametrize("seq_length", [64, 256, 1024])
def test_rows_are_those_of_mindformers(golden, tokenizer, seq_length):
    reference = np.load(golden / "llama_qa_reference.npz")
    failed = json.loads((golden / "llama_qa_reference_errors.json").read_text()).get(str(seq_length), {})
    conversations = read_conversations(golden / "alpaca_tricky_conversation.json")
    rows = list(encode_conversations(conversations, tokenizer, DEFAULT_TEMPLATE, seq_length))
    assert len(rows) == 30
    for index, row in enumerate(rows):
        assert row.input_ids.dtype == row.labels.dtype == np.int32
        assert row.input_ids.shape == row.labels.shape == (seq_length + 1,)
        np.testing.assert_array_equal(row.input_ids, reference[f"input_ids_{seq_length}"][index])
        if str(index) in failed:
            # MindFormers itself stops here: a masked row that is too long.
            assert row.cut and row.masked and (row.labels == IGNORE_TOKEN_ID).all()
        else:
            np.testing.assert_array_equal(row.labels, reference[f"labels_{seq_length}"][index])
        assert row.masked == bool((row.labels == IGNORE_TOKEN_ID).all())


def test_one_by_one_is_the_same_as_in_batches(golden, tokenizer):
    conversations = list(read_conversations(golden / "alpaca_tricky_conversation.json")) * 10
    rows = list(encode_conversations(conversations, tokenizer, DEFAULT_TEMPLATE, 200))
    assert len(rows) == 300
    for conversation, row in list(zip(conversations, rows))[120:150]:
        single = encode_conversation(conversation, tokenizer, DEFAULT_TEMPLATE, 200)
        np.testing.assert_array_equal(single.input_ids, row.input_ids)
        np.testing.assert_array_equal(single.labels, row.labels)
        assert (single.id, single.tokens, single.cut) == (row.id, row.tokens, row.cut)


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["</s>", "<s>", "<unk>", " ASSISTANT: ", "USER: ", "", " ", "a </s><unk> b"]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXT, min_size=1, max_size=6), seq_length=st.integers(1, 300))
def test_labels_repeat_the_input_or_ignore_it(tokenizer, texts, seq_length):
    row = encode_conversation(talk(*texts), tokenizer, DEFAULT_TEMPLATE, seq_length)
    assert row.input_ids.shape == row.labels.shape == (seq_length + 1,)
    ignored = row.labels == IGNORE_TOKEN_ID
    assert (ignored | (row.labels == row.input_ids)).all()
    assert row.masked == bool(ignored.all())
    assert row.masked_reason in {"", *REASONS}
    assert row.cut == (row.tokens > seq_length + 1)
    assert ignored[row.tokens :].all()
    assert row.trained_tokens == int((~ignored).sum())
    assert row.input_ids[0] == tokenizer.bos_id


def test_what_is_learned_is_the_answers(tokenizer):
    row = encode_conversation(talk("One?", "1", "Two?", "2"), tokenizer, DEFAULT_TEMPLATE, 256)
    learned = row.input_ids[row.labels != IGNORE_TOKEN_ID].tolist()
    assert learned == [*tokenizer.encode("1"), tokenizer.eos_id, *tokenizer.encode("2"), tokenizer.eos_id]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["q", ""], "empty_answer"),
        (["q"], "no_answer"),
        (["q", "the word ASSISTANT: here"], "opening_in_text"),
        (["q", "before </s> after"], "separator_in_text"),
        (["q", "an <unk> here"], "unknown_token"),
        (["q " * 300, "a"], "cut_off"),
    ],
)
def test_a_masked_row_says_why(tokenizer, texts, reason):
    row = encode_conversation(talk(*texts), tokenizer, DEFAULT_TEMPLATE, 128)
    assert row.masked_reason == reason


def test_special_tokens_in_a_text_are_tokens(tokenizer):
    assert tokenizer.encode("<s>") == [tokenizer.bos_id]
    assert tokenizer.encode("a</s>b") == [*tokenizer.encode("a"), tokenizer.eos_id, *tokenizer.encode("b")]
    assert tokenizer.encode("") == []
    assert tokenizer.encode("< s > <x>") == tokenizer.encode_many(["z", "< s > <x>"])[1]


def test_a_first_turn_of_the_assistant_is_left_out():
    turns = (Turn("gpt", "Hi!"), Turn("human", "q"), Turn("gpt", "a"))
    assert build_prompt(Conversation(1, "1", turns)) == build_prompt(talk("q", "a"))


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ((Turn("human", "a"), Turn("human", "b")), "from `human` where `gpt`"),
        ((Turn("human", "a"), Turn("system", "b")), "from `system` where `gpt`"),
        ((Turn("gpt", "a"),), "no turn from `human`"),
    ],
)
def test_speakers_must_take_turns(turns, words):
    with pytest.raises(InvalidInputError, match=r"conv.json: record 4 \(id x\)") as caught:
        build_prompt(Conversation(4, "x", turns), source=Path("conv.json"))
    assert words in str(caught.value)


def test_an_unknown_template_names_those_like_it():
    with pytest.raises(InvalidInputError, match=r"vicuna_v1\.1"):
        build_prompt(talk("q", "a"), "vicuna_v1")
    with pytest.raises(InvalidInputError, match=r"Usable: .*vicuna"):
        build_prompt(talk("q", "a"), "%%%")
    with pytest.raises(InvalidInputError, match="does not separate"):
        build_prompt(talk("q", "a"), "chatglm")


@pytest.mark.parametrize("template", ["alpaca", "koala_v1", "airoboros_v2"])
def test_other_templates_with_two_separators_learn_the_answer(tokenizer, template):
    row = encode_conversation(talk("q", "the answer"), tokenizer, template, 256)
    learned = row.input_ids[row.labels != IGNORE_TOKEN_ID].tolist()
    assert learned == [*tokenizer.encode("the answer"), tokenizer.eos_id]


def test_a_seq_length_below_one_is_refused(tokenizer):
    with pytest.raises(InvalidInputError, match="seq_length is 0"):
        encode_conversation(talk("q", "a"), tokenizer, DEFAULT_TEMPLATE, 0)


def test_inspecting_a_tokenizer_tells_its_vocabulary(model_file):
    assert inspect_tokenizer(model_file) == 1024


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
    with pytest.raises(InvalidInputError, match="could not be read"):
        load_tokenizer(tmp_path)
    half = tmp_path / "half.model"
    half.write_bytes(model_file.read_bytes()[:-500])
    with pytest.raises(InvalidInputError, match="not a sentencepiece model"):
        load_tokenizer(half)


def test_importing_the_room_pulls_in_nothing_heavy():
    code = (
        "import sys, sft_tui.dataset.records, sft_tui.dataset.conversation, sft_tui.dataset.encode, "
        "sft_tui.dataset.wiki, sft_tui.dataset.audit, sft_tui.dataset.mindrecord\n"
        "heavy = {'numpy', 'sentencepiece', 'fastchat', 'ijson', 'mindspore', 'torch', 'transformers', 'textual',"
        " 'rich', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_prompt_needs_no_more_of_fastchat_than_its_templates():
    code = (
        "import sys\nfrom sft_tui.dataset.prompt import load_template\nload_template('vicuna_v1.1')\n"
        "print(sorted(name for name in sys.modules if name.startswith('fastchat') or name in ('torch', 'requests')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert found == "['fastchat', 'fastchat.conversation']"
