from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_tui.dataset.encode import llama_preprocess as reference
from sft_tui.dataset.encode.prompt import build_prompt
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.errors import InvalidInputError


def talk(*texts: str) -> Conversation:
    turns = tuple(Turn(("human", "gpt")[index % 2], text) for index, text in enumerate(texts))
    return Conversation(1, "1", turns)


def test_a_first_turn_of_the_assistant_is_left_out():
    turns = (Turn("gpt", "Hi!"), Turn("human", "q"), Turn("gpt", "a"))
    assert build_prompt(Conversation(1, "1", turns)) == build_prompt(talk("q", "a"))


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ((Turn("human", "a"), Turn("human", "b")), "from `human` where `gpt`"),
        ((Turn("human", "a"), Turn("system", "b")), "from `system` where `gpt`"),
        ((Turn("human", "a"), Turn("gpt", "b"), Turn("gpt", "c")), "from `gpt` where `human`"),
    ],
)
def test_speakers_must_take_turns(turns, words):
    with pytest.raises(InvalidInputError, match=r"conv.json: record 4 \(id x\)") as caught:
        build_prompt(Conversation(4, "x", turns), source=Path("conv.json"))
    assert words in str(caught.value)


def test_a_conversation_without_a_question_is_written_by_the_reference_alone():
    turns = (Turn("gpt", "a"),)
    assert build_prompt(Conversation(1, "1", turns)).endswith("user's questions. ")
    with pytest.raises(InvalidInputError, match="no turn from `human`"):
        build_prompt(Conversation(1, "1", turns), "llama-2")


def test_a_system_turn_stands_where_the_template_has_a_place_for_it():
    turns = (Turn("system", "Be {brief}."), Turn("human", "q"), Turn("gpt", "a"))
    prompt = build_prompt(Conversation(1, "1", turns), "llama-2")
    assert prompt == "[INST] <<SYS>>\nBe {brief}.\n<</SYS>>\n\nq [/INST] a </s><s>"
    empty = (Turn("system", ""), *turns[1:])
    assert build_prompt(Conversation(1, "1", empty), "llama-2") == build_prompt(talk("q", "a"), "llama-2")
    with pytest.raises(InvalidInputError, match="no place for a system turn"):
        build_prompt(Conversation(1, "1", turns), "yuan")


def test_half_a_character_is_refused():
    with pytest.raises(InvalidInputError, match="character 3 of a text"):
        build_prompt(talk("q", "ab\ud83d"))


@pytest.mark.parametrize("template", ["vicuna_v1.1", "llama-2", "qwen-7b-chat", "alpaca"])
def test_a_prompt_is_what_fastchat_writes(template):
    get_conv_template = pytest.importorskip("fastchat.conversation").get_conv_template
    texts = ["one?", "1", " two?\n", "2 {x}", "three?", "3"]
    filled = get_conv_template(template)
    for index, text in enumerate(texts):
        filled.append_message(filled.roles[index % 2], text)
    assert build_prompt(talk(*texts), template) == filled.get_prompt()


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.sampled_from(["", "a", " ", "</s>", " ASSISTANT: ", "USER:", "\n b "]), min_size=1, max_size=7)
)
def test_empty_texts_are_written_as_fastchat_does(texts):
    get_conv_template = pytest.importorskip("fastchat.conversation").get_conv_template
    filled = get_conv_template("vicuna_v1.1")
    for index, text in enumerate(texts):
        filled.append_message(filled.roles[index % 2], text)
    assert reference.build_prompt(talk(*texts)) == filled.get_prompt()
