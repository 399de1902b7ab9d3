"""Thoughts, tools and calls of tools: what a chat template writes of them, and where the labels begin."""

from __future__ import annotations

import json

import pytest

from sft_tui.dataset.encode.by_chat_template import THOUGHT_DROPPED
from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, EncodedRow
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.demo.toy_qwen3 import write_toy_tokenizer

# as Qwen3: a thought behind the last question is kept, others are dropped; tools, calls and their answers are written
QWEN = """{%- if tools %}{{ '<|im_start|>system\n<tools>' + (tools | tojson) + '</tools><|im_end|>\n' }}{% endif %}
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set text = m.content %}{% set thought = '' %}
{%- if m.reasoning_content is string %}{% set thought = m.reasoning_content %}
{%- elif '</think>' in text %}
{%- set thought = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}
{%- set text = text.split('</think>')[-1].lstrip('\n') %}
{%- endif %}
{{- '<|im_start|>assistant\n' }}
{%- if loop.index0 > ns.last and (OPEN or thought or loop.last) %}
{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}{% endif %}
{{- text }}
{%- for c in m.tool_calls or [] %}
{{- '\n<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' }}
{{- c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}{{ '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>' + m.content + '</tool_response><|im_end|>\n' }}
{%- else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('<think>\n' if OPEN else '') }}{% endif %}"""
BOTH, THINKING = (QWEN.replace("OPEN", value) for value in ("false", "true"))
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CALL = (
    "tool_calls",
    json.dumps([{"type": "function", "function": {"name": "clock", "arguments": '{"city":"Rome"}'}}]),
)
TOOLS = json.dumps([{"type": "function", "function": {"name": "clock"}}])


@pytest.fixture(scope="module")
def encode(tmp_path_factory):
    """encode(template, turn, ...) gives the row or the bad record."""

    def run(template: str, *turns: Turn, tools: str = "") -> EncodedRow | BadRecord:
        folder = tmp_path_factory.mktemp("folder")
        write_toy_tokenizer(folder, ["what is the answer of today", "x\n\n\nx\n\n\nx"] * 3, 281)
        path = folder / "tokenizer.json"
        data = json.loads(path.read_text())
        token = data["added_tokens"][0]
        names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
        data["added_tokens"] = [{**token, "id": 400 + place, "content": name} for place, name in enumerate(names)]
        path.write_text(json.dumps(data))
        settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": template}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        run.tokenizer = load_tokenizer(path, threads=1)
        [row] = Encoder(run.tokenizer, "chat", 2000).encode([Conversation(1, "1", turns, tools)])
        return row

    return run


def learned(encode, row: EncodedRow) -> list[str]:
    """The stretches with labels."""
    found, begin = [], None
    for place, trained in enumerate([*(row.labels != IGNORE_TOKEN_ID), False]):
        if trained and begin is None:
            begin = place
        elif not trained and begin is not None:
            found.append(encode.tokenizer.decode(row.input_ids[begin:place]))
            begin = None
    return found


def thinking(text: str, thought: str = "hm", **more: object) -> Turn:
    return Turn("gpt", text, given=(("reasoning_content", json.dumps(thought)),), **more)


Q, A, R = Turn("human", "q"), Turn("gpt", "a"), Turn("human", "r")


def test_labels_begin_where_prompt_and_text_part(encode):
    """Whole thought in the text or in a field of its own, none, and several turns; the prompt opens the thought."""
    whole = Turn("gpt", "<think>\nhm\n</think>\n\na")
    for turns, wanted in {
        (Q, whole): ["hm\n</think>\n\na<|im_end|>"],
        (Q, thinking("a")): ["hm\n</think>\n\na<|im_end|>"],
        (Q, A): ["</think>\n\na<|im_end|>"],
        (Q, A, R, A): ["a<|im_end|>", "</think>\n\na<|im_end|>"],
        (Q, A, R, thinking("b")): ["a<|im_end|>", "hm\n</think>\n\nb<|im_end|>"],
    }.items():
        assert learned(encode, encode(THINKING, *turns)) == wanted, turns


def test_a_prompt_with_an_empty_thought_parts_before_it_in_earlier_turns(encode):
    template = THINKING.replace("('<think>\n' if true else '')", "'<think>\n\n</think>\n\n'")
    assert template != THINKING
    assert learned(encode, encode(template, Q, A, R, A)) == ["a<|im_end|>", "a<|im_end|>"]


def test_a_thought_in_its_own_field_is_given_to_the_template(encode):
    row = encode(BOTH, Q, thinking("a"))
    assert learned(encode, row) == ["<think>\nhm\n</think>\n\na<|im_end|>"]
    # a template that looks for it in the text alone gets it there
    inline = BOTH.replace("m.reasoning_content is string", "false")
    assert learned(encode, encode(inline, Q, thinking("a"))) == ["<think>\nhm\n</think>\n\na<|im_end|>"]


def test_a_thought_of_an_earlier_turn_is_left_out_and_counted_or_refused(encode):
    row = encode(BOTH, Q, thinking("a"), R, A)
    assert learned(encode, row) == ["a<|im_end|>", "a<|im_end|>"] and row.remarks == (("dropped", THOUGHT_DROPPED),)
    bad = encode(BOTH, Q, Turn("gpt", "<think>hm</think>a"), R, A)
    assert isinstance(bad, BadRecord) and "turn 2" in bad.reason and "</think>\\n\\nANSWER" in bad.reason


def test_a_template_without_a_place_for_thoughts_is_told(encode):
    bad = encode(PLAIN, Q, thinking("a"))
    assert isinstance(bad, BadRecord) and "drops the thought of turn 2" in bad.reason


def test_calls_of_tools_are_learned_and_their_answers_are_not(encode):
    turns = (Q, Turn("gpt", "Let me look.", given=(CALL,)), Turn("tool", "12:00"), Turn("gpt", "Noon."))
    row = encode(BOTH, *turns, tools=TOOLS)
    first, second = learned(encode, row)
    assert first == 'Let me look.\n<tool_call>\n{"name": "clock", "arguments": {"city":"Rome"}}\n</tool_call><|im_end|>'
    assert second.endswith("Noon.<|im_end|>")
    text = encode.tokenizer.decode(row.input_ids)
    assert '"name": "clock"' in text[: text.index("q")] and "<tool_response>12:00" in text
    null = encode(BOTH, Q, Turn("gpt", "", given=(CALL,)), Turn("tool", "12:00"), Turn("gpt", "Noon."))
    assert len(learned(encode, null)) == 2


@pytest.mark.parametrize(
    "turns",
    [
        (Q, Turn("gpt", "Let me look.", given=(CALL,))),
        (Q, A, Turn("tool", "12:00"), A),
    ],
)
def test_a_template_that_writes_no_tools_refuses_them(encode, turns):
    bad = encode(PLAIN.replace("m.role + ", "('user' if m.role == 'tool' else m.role) + "), *turns)
    if any(turn.given for turn in turns):
        assert isinstance(bad, BadRecord) and "`clock`" in bad.reason
    else:
        assert isinstance(bad, EncodedRow), "it writes the answer of the tool"


def test_tools_that_a_template_does_not_write_are_refused(encode):
    bad = encode(PLAIN, Q, A, tools=TOOLS)
    assert isinstance(bad, BadRecord) and "`clock`" in bad.reason


@pytest.mark.parametrize("arguments", [{"city": "北京"}, {"n": 1.5}, {"deep": [{"on": True}]}, {"text": 'a "b" \\ c'}])
def test_arguments_of_calls_are_all_written_or_refused(encode, arguments):
    calls = json.dumps([{"type": "function", "function": {"name": "clock", "arguments": arguments}}])
    turn = Turn("gpt", "", given=(("tool_calls", calls),))
    assert isinstance(encode(BOTH, Q, turn, tools=TOOLS), EncodedRow)
    without = BOTH.replace(
        "c.function.arguments if c.function.arguments is string else c.function.arguments | tojson", "'{}'"
    )
    assert without != BOTH
    bad = encode(without, Q, turn, tools=TOOLS)
    assert isinstance(bad, BadRecord) and "tool call" in bad.reason


def test_special_tokens_in_tools_and_calls_are_no_real_ones(encode):
    tools = json.dumps([{"name": "f", "description": "<|im_end|>\n<|im_start|>assistant\n"}])
    call = json.dumps([{"function": {"name": "f", "arguments": {"x": "<|im_end|>"}}}])
    for row in (encode(BOTH, Q, A, tools=tools), encode(BOTH, Q, Turn("gpt", "", given=(("tool_calls", call),)))):
        assert (row.masked_reason, row.trained_tokens) == ("special_in_text", 0)


def test_blanks_inside_of_a_text_are_not_changed(encode):
    template = BOTH.replace("{{- text }}", "{{- text.replace('  ', ' ') }}")
    assert template != BOTH
    bad = encode(template, Q, thinking("a  b"))
    assert isinstance(bad, BadRecord) and "changes the text of turn 2" in bad.reason


def test_a_marked_answer_has_no_labels(encode):
    row = encode(BOTH, Q, Turn("gpt", "WRONG", trained=False), R, A)
    assert learned(encode, row) == ["a<|im_end|>"]
    assert learned(encode, encode(THINKING, Q, thinking("WRONG", trained=False), R, A)) == ["</think>\n\na<|im_end|>"]
    row = encode(BOTH, Q, Turn("gpt", "WRONG", trained=False))
    assert (learned(encode, row), row.masked_reason) == ([], "not_trained")
