from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    from fastchat.conversation import get_conv_template

    texts = ["one?", "1", " two?\n", "2 {x}", "three?", "3"]
    filled = get_conv_template(template)
    for index, text in enumerate(texts):
        filled.append_message(filled.roles[index % 2], text)
    assert build_prompt(talk(*texts), template) == filled.get_prompt()


def test_a_prompt_needs_no_more_of_fastchat_than_its_templates():
    code = (
        "import sys\nfrom sft_tui.dataset.encode.prompt import build_prompt\n"
        "from sft_tui.dataset.read.conversation import Conversation, Turn\n"
        "build_prompt(Conversation(1, '1', (Turn('human', 'q'), Turn('gpt', 'a'))))\n"
        "print(sorted(name for name in sys.modules if name.startswith('fastchat') or name in ('torch', 'requests')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert found == "['fastchat', 'fastchat.conversation']"
