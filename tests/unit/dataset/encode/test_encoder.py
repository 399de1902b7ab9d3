from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, REASONS
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.template.layouts import DEFAULT_TEMPLATE, list_templates
from sft_tui.errors import InvalidInputError
from tests.unit.dataset.rows import encode_conversation, encode_conversations, padded, read_conversations


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
        input_ids, labels = padded(row, seq_length + 1, tokenizer.pad_id)
        assert input_ids.dtype == labels.dtype == np.int32
        assert input_ids.shape == labels.shape == (seq_length + 1,)
        np.testing.assert_array_equal(input_ids, reference[f"input_ids_{seq_length}"][index])
        if str(index) in failed:
            # MindFormers itself stops here: a masked row that is too long.
            assert row.cut and row.masked and (row.labels == IGNORE_TOKEN_ID).all()
        else:
            np.testing.assert_array_equal(labels, reference[f"labels_{seq_length}"][index])
        assert row.masked == bool((row.labels == IGNORE_TOKEN_ID).all())


@pytest.mark.parametrize("seq_length", [40, 128, 512])
def test_awkward_conversations_are_encoded_as_mindformers_does(golden, tokenizer, seq_length):
    # Several rounds, other first speakers, blanks and control characters of all kinds; made by MindFormers 1.9.0.
    reference = np.load(golden / "awkward_reference.npz")
    failed = json.loads((golden / "awkward_reference_errors.json").read_text())[str(seq_length)]
    items = json.loads((golden / "awkward_conversation.json").read_text())
    conversations = [
        Conversation(number, item["id"], tuple(Turn(turn["from"], turn["value"]) for turn in item["conversations"]))
        for number, item in enumerate(items, 1)
    ]
    rows = Encoder(tokenizer, DEFAULT_TEMPLATE, seq_length + 1).encode(conversations)
    assert len(rows) == 60
    for index, row in enumerate(rows):
        input_ids, labels = padded(row, seq_length + 1, tokenizer.pad_id)
        np.testing.assert_array_equal(input_ids, reference[f"input_ids_{seq_length}"][index])
        if str(index) in failed:
            assert row.cut and row.masked
        else:
            np.testing.assert_array_equal(labels, reference[f"labels_{seq_length}"][index])
        assert row.left_out == (conversations[index].turns[0].speaker != "human")


def test_a_batch_gives_one_entry_for_each_conversation_in_order(tokenizer):
    bad = Conversation(2, "x", (Turn("human", "a"), Turn("human", "b")))
    half = talk("q", "ab\ud83d", number=4)
    encoder = Encoder(tokenizer, DEFAULT_TEMPLATE, 100)
    entries = encoder.encode([talk("one", "1"), bad, talk("two", "2", number=3), half], "in.json")
    assert [entry.number for entry in entries] == [1, 2, 3, 4]
    assert [isinstance(entry, BadRecord) for entry in entries] == [False, True, False, True]
    assert entries[1].path == "in.json" and "from `human` where `gpt`" in entries[1].reason
    assert "character 3 of a text" in entries[3].reason and entries[3].hint
    assert encoder.encode([]) == []


def test_a_system_turn_is_a_bad_record_where_the_template_has_no_place_for_it(tokenizer, monkeypatch):
    conversation = Conversation(7, "x", (Turn("system", "s"), Turn("human", "q"), Turn("gpt", "a")))
    encoder = Encoder(tokenizer, "alpaca", 100)
    assert not isinstance(encoder.encode([conversation])[0], BadRecord)
    encoder = Encoder(tokenizer, "phoenix", 100)
    monkeypatch.setattr(encoder._way, "_layout", replace(encoder._way._layout, system=None))
    [entry] = encoder.encode([conversation])
    assert isinstance(entry, BadRecord) and "no place for a system turn" in entry.reason


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, "llama-2"])
def test_a_row_has_exactly_the_length_that_was_asked_for(tokenizer, template):
    conversation = talk("q", "word " * 200)
    whole = Encoder(tokenizer, template, 5000).encode([conversation])[0]
    for length in (1, 100, whole.tokens - 1, whole.tokens, whole.tokens + 1):
        row = Encoder(tokenizer, template, length).encode([conversation])[0]
        assert len(row.input_ids) == len(row.labels) == min(length, whole.tokens)
        np.testing.assert_array_equal(row.labels, whole.labels[:length])
        assert row.tokens == whole.tokens and row.cut == (whole.tokens > length)
        input_ids, labels = padded(row, length, tokenizer.pad_id)
        assert input_ids.shape == labels.shape == (length,)
        assert input_ids.dtype == labels.dtype == np.int32
        assert (labels[row.tokens :] == IGNORE_TOKEN_ID).all() and (input_ids[row.tokens :] == tokenizer.pad_id).all()


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(TEXT, min_size=1, max_size=6),
    seq_length=st.integers(1, 300),
    template=st.sampled_from([DEFAULT_TEMPLATE, *list_templates("sentencepiece")]),
)
def test_labels_repeat_the_input_or_ignore_it(tokenizer, texts, seq_length, template):
    row = encode_conversation(talk(*texts), tokenizer, template, seq_length)
    assert row.input_ids.dtype == row.labels.dtype == np.int32
    assert row.input_ids.shape == row.labels.shape == (min(row.tokens, seq_length + 1),)
    ignored = row.labels == IGNORE_TOKEN_ID
    assert (ignored | (row.labels == row.input_ids)).all()
    assert row.masked == bool(ignored.all())
    assert row.masked_reason in {"", *REASONS}
    assert row.cut == (row.tokens > seq_length + 1)
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


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["q", ""], "empty_answer"),
        (["q", "a", "r", ""], "empty_answer"),
        (["q"], "no_answer"),
        (["q", "before </s> after"], "special_in_text"),
        (["<s> q", "a"], "special_in_text"),
        (["q " * 300, "a"], "cut_off"),
        (["q [INST]", "[/INST] ASSISTANT: an <unk>"], ""),
        (["q", "a", "r"], ""),
    ],
)
def test_with_other_templates_as_well(tokenizer, texts, reason):
    row = encode_conversation(talk(*texts), tokenizer, "llama-2", 128)
    assert row.masked_reason == reason
    assert row.masked == (row.trained_tokens == 0)


def test_a_row_below_one_token_is_refused(tokenizer):
    with pytest.raises(InvalidInputError, match="seq_length is 0"):
        Encoder(tokenizer, DEFAULT_TEMPLATE, 0)


def test_importing_the_room_pulls_in_nothing_heavy():
    code = (
        "import sys, sft_tui.dataset.read.inspect, sft_tui.dataset.read.conversation, sft_tui.dataset.encode.encoder, "
        "sft_tui.dataset.encode.plain_text, sft_tui.dataset.run_audit, sft_tui.dataset.mindrecord.file\n"
        "heavy = {'numpy', 'sentencepiece', 'fastchat', 'pyarrow', 'mindspore', 'torch', 'transformers', 'textual',"
        " 'rich', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, "llama-2", "alpaca"])
def test_an_answer_that_is_marked_has_no_labels_and_the_others_keep_theirs(tokenizer, template):
    turns = talk("q", "wrong", "no", "right").turns
    marked = Conversation(1, "1", (turns[0], replace(turns[1], trained=False), *turns[2:]))
    plain, row = Encoder(tokenizer, template, 200).encode([Conversation(1, "1", turns), marked])
    assert row.input_ids.tolist() == plain.input_ids.tolist()
    spans = [_learned(tokenizer, item) for item in (plain, row)]
    assert len(spans[0]) == 2 and spans[1] == spans[0][1:] and "right" in spans[1][0]
    none = Conversation(1, "1", (turns[0], replace(turns[1], trained=False)))
    [row] = Encoder(tokenizer, template, 200).encode([none])
    assert row.masked and row.masked_reason == "not_trained"


def _learned(tokenizer, row):
    """The text of each stretch with labels."""
    trained = row.labels != IGNORE_TOKEN_ID
    edges = np.flatnonzero(np.diff(np.concatenate([[False], trained, [False]]).astype(int)))
    return [tokenizer.decode(row.input_ids[first:last].tolist()) for first, last in edges.reshape(-1, 2)]


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, "llama-2"])
@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": "[]"}, "tools"),
        ({"turns": (Turn("human", "q"), Turn("gpt", "a", given=(("tool_calls", "[]"),)))}, "`tool_calls` (turn 2)"),
        ({"turns": (Turn("human", "q"), Turn("gpt", "a", given=(("reasoning_content", '"h"'),)))}, "turn 2"),
        ({"turns": (Turn("human", "q"), Turn("gpt", "a"), Turn("tool", "1"))}, "turn 3"),
    ],
)
def test_a_layout_has_no_place_for_thoughts_and_tools(tokenizer, template, more, named):
    [bad] = Encoder(tokenizer, template, 200).encode([replace(talk("q", "a"), **more)])
    assert isinstance(bad, BadRecord) and named in bad.reason and template in bad.reason
