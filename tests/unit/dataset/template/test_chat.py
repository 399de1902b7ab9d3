"""The model folder's own chat template: what is learned of what it writes, and what is refused."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.dataset.audit.limits import Limits
from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID, EncodedRow
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.mindrecord.request import Request, check_tokenizer
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.template.layouts import check_template
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.demo.toy_qwen3 import write_toy_tokenizer
from sft_tui.errors import InvalidInputError

_TEMPLATES = runpy.run_path(str(Path(__file__).with_name("chat_templates.py")))
QWEN3, QWEN25, LLAMA3, GLM4, MARKED, HOSTILE = (
    _TEMPLATES[name] for name in ("QWEN3", "QWEN25", "LLAMA3", "GLM4", "MARKED", "HOSTILE")
)
TOKENS = {
    "qwen": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama": ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    "glm": ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
}
SETTINGS = {
    "qwen": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "llama": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "glm": {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """folder_of("qwen", TEMPLATE): a folder with a tokenizer of that kind and the chat template."""

    def make(kind: str, template: str | None, *, own_file: bool = False) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        write_toy_tokenizer(folder, ["what is the answer of today", "x\n\n\nx\n\n\nx\n\n\nx"] * 3, 281)
        path = folder / "tokenizer.json"
        data = json.loads(path.read_text())
        data["added_tokens"] = [
            {**data["added_tokens"][0], "id": 400 + place, "content": text} for place, text in enumerate(TOKENS[kind])
        ] + [{**data["added_tokens"][0], "id": 420, "content": "<think>", "special": False}]
        path.write_text(json.dumps(data))
        (folder / "tokenizer_config.json").write_text(
            json.dumps({**SETTINGS[kind], **({} if own_file or template is None else {"chat_template": template})})
        )
        if own_file:
            (folder / "chat_template.jinja").write_text(template)
        if kind == "glm":
            (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [405, 403]}))
        return folder

    return make


def talk(*texts: str, system: str = "", number: int = 1) -> Conversation:
    turns = [Turn(("human", "gpt")[place % 2], text) for place, text in enumerate(texts)]
    return Conversation(number, str(number), tuple(([Turn("system", system)] if system else []) + turns))


def learn(folder: Path, conversation: Conversation, length: int = 1000) -> tuple[str, list[str]]:
    """The whole text, and the stretches that are learned."""
    tokenizer = load_tokenizer(folder / "tokenizer.json", threads=1)
    [row] = Encoder(tokenizer, "chat", length).encode([conversation])
    assert isinstance(row, EncodedRow) and not row.masked_reason, row
    learned, parts = [], []
    for token, label in zip(row.input_ids.tolist(), row.labels.tolist()):
        if label == IGNORE_TOKEN_ID and parts:
            learned.append(tokenizer.decode(parts))
            parts = []
        elif label != IGNORE_TOKEN_ID:
            assert label == token
            parts.append(token)
    return tokenizer.decode(row.input_ids.tolist()), learned + ([tokenizer.decode(parts)] if parts else [])


CASES = {
    "Qwen3": (
        "qwen", QWEN3,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n q <|im_end|>\n<|im_start|>assistant\na b<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nc<|im_end|>\n",
        ["a b<|im_end|>", "c<|im_end|>"],
    ),
    "Qwen2.5": (
        "qwen", QWEN25,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n q <|im_end|>\n<|im_start|>assistant\na b<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n",
        ["a b<|im_end|>", "c<|im_end|>"],
    ),
    "Llama 3": (
        "llama", LLAMA3,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\na b<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nc<|eot_id|>",
        ["a b<|eot_id|>", "c<|eot_id|>"],
    ),
    # the last answer ends with the token that would open the next turn: the model's config calls it an end
    "GLM-4": (
        "glm", GLM4,
        "[gMASK]<sop><|system|>\ns<|user|>\n q <|assistant|>\na b<|user|>\nr<|assistant|>\nc<|user|>",
        ["a b<|user|>", "c<|user|>"],
    ),
    "marked": (
        "qwen", MARKED,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n q <|im_end|>\n<|im_start|>assistant\na b<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n",
        ["a b<|im_end|>", "c<|im_end|>"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_answers_and_their_ends_are_learned_and_nothing_else(folder_of, name):
    kind, template, text, learned = CASES[name]
    assert learn(folder_of(kind, template), talk(" q ", "a b", "r", "c", system="s")) == (text, learned)


def test_a_template_file_comes_before_the_one_in_the_settings(folder_of):
    folder = folder_of("qwen", QWEN25, own_file=True)
    assert learn(folder, talk("q", "a"))[0].startswith("<|im_start|>system\nBe of use.")
    settings_ = json.loads((folder / "tokenizer_config.json").read_text())
    named = [{"name": "tool_use", "template": "{{ x.y.z }}"}, {"name": "default", "template": QWEN3}]
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings_, "chat_template": named}))
    (folder / "chat_template.jinja").unlink()
    assert "<think>\n\n</think>\n\na<|im_end|>" in learn(folder, talk("q", "a"))[0]


def test_a_thought_of_the_data_takes_the_place_of_the_empty_one_and_is_learned(folder_of):
    text, learned = learn(folder_of("qwen", QWEN3), talk("q", "<think>\nhm\n</think>\n\na"))
    assert learned == ["<think>\nhm\n</think>\n\na<|im_end|>"]
    assert text.endswith("<|im_start|>assistant\n<think>\nhm\n</think>\n\na<|im_end|>\n")


def test_a_thought_that_the_template_drops_is_told(folder_of):
    tokenizer = load_tokenizer(folder_of("qwen", QWEN3) / "tokenizer.json", threads=1)
    records = [talk("q", "<think>\nhm\n</think>\n\na", "r", "c", number=7), talk("q", "a", number=8)]
    bad, good = Encoder(tokenizer, "chat", 100).encode(records, "data.json")
    assert isinstance(bad, BadRecord) and (bad.path, bad.number) == ("data.json", 7)
    assert (
        "drops the thought of turn 2" in bad.reason and json.dumps("<think>\nTHOUGHT\n</think>\n\nANSWER") in bad.reason
    )
    assert isinstance(good, EncodedRow)


def test_blanks_that_the_template_drops_are_not_learned(folder_of):
    assert learn(folder_of("llama", LLAMA3), talk("q", "  a\n"))[1] == ["a<|eot_id|>"]
    assert learn(folder_of("qwen", QWEN25), talk("q", "  a\n"))[1] == ["  a\n<|im_end|>"]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("q", "a<|im_end|>b"), "special_in_text"),
        (("<|im_start|>q", "a"), "special_in_text"),
        (("q", ""), "empty_answer"),
        (("q",), "no_answer"),
        (("q" * 200, "a"), "cut_off"),
        # the blank line before the answer and the one in it are one token: it is not known whose it is
        (("q", "\n\na"), "not_spelled"),
    ],
)
def test_a_row_that_cannot_be_learned_says_why(folder_of, texts, reason):
    folder = folder_of("qwen", QWEN25)
    tokenizer = load_tokenizer(folder / "tokenizer.json", threads=1)
    [row] = Encoder(tokenizer, "chat", 100).encode([talk(*texts)])
    assert isinstance(row, EncodedRow)
    assert (row.masked_reason, row.trained_tokens) == (reason, 0)
    assert set(row.labels.tolist()) == {IGNORE_TOKEN_ID}


def test_a_first_turn_of_the_assistant_is_left_out_and_turns_must_alternate(folder_of):
    tokenizer = load_tokenizer(folder_of("qwen", QWEN25) / "tokenizer.json", threads=1)
    first = Conversation(1, "1", (Turn("gpt", "x"), Turn("human", "q"), Turn("gpt", "a")))
    twice = Conversation(2, "2", (Turn("human", "q"), Turn("human", "r")))
    nobody = Conversation(3, "3", (Turn("system", "s"),))
    row, bad, empty = Encoder(tokenizer, "chat", 100).encode([first, twice, nobody])
    assert isinstance(row, EncodedRow) and row.left_out and row.trained_tokens == 2
    assert isinstance(bad, BadRecord) and isinstance(empty, BadRecord)


WORDS = st.text(st.sampled_from("ab \n.,é中\U0001f600<>|{}%'\"\\"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, min_size=2, max_size=6), st.sampled_from(["Qwen3", "Qwen2.5", "Llama 3", "GLM-4"]))
def test_what_is_learned_spells_the_answers_or_the_row_is_masked(folder_of, made, texts, name):
    if name not in made:
        kind, template, _, _ = CASES[name]
        tokenizer = load_tokenizer(folder_of(kind, template) / "tokenizer.json", threads=1)
        made[name] = Encoder(tokenizer, "chat", 10_000)
    encoder = made[name]
    [row] = encoder.encode([talk(*texts)])
    if isinstance(row, BadRecord) or row.masked_reason:
        return
    end = {"Qwen3": "<|im_end|>", "Qwen2.5": "<|im_end|>", "Llama 3": "<|eot_id|>", "GLM-4": "<|user|>"}[name]
    learned = encoder.tokenizer.decode([label for label in row.labels.tolist() if label != IGNORE_TOKEN_ID])
    answers = [text.strip() if name == "Llama 3" else text for text in texts[1::2]]
    assert learned == "".join(answer + end for answer in answers)


@pytest.fixture(scope="session")
def made() -> dict[str, Encoder]:
    return {}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_template_is_refused_with_the_reason(folder_of, name):
    template, reason = HOSTILE[name]
    tokenizer = load_tokenizer(folder_of("qwen", template) / "tokenizer.json", threads=1)
    with pytest.raises(InvalidInputError, match=reason) as caught:
        check_template("chat", tokenizer)
    assert caught.value.exit_code == 2 and "tokenizer_config.json" in caught.value.message


def test_a_template_that_fails_for_one_record_alone_fails_there(folder_of):
    template = "{% if '!' in messages[0].content %}{% for a in range(99999) %}{% endfor %}{% endif %}" + QWEN3
    tokenizer = load_tokenizer(folder_of("qwen", template) / "tokenizer.json", threads=1)
    good, bad = Encoder(tokenizer, "chat", 100).encode([talk("q", "a"), talk("q!", "a", number=2)])
    assert isinstance(good, EncodedRow)
    assert isinstance(bad, BadRecord) and "longer than a conversation" in bad.reason


def test_long_conversations_have_what_they_need(folder_of):
    texts = ["word " * 400] * 100
    for kind, template in (("qwen", QWEN3), ("llama", LLAMA3), ("glm", GLM4)):
        tokenizer = load_tokenizer(folder_of(kind, template) / "tokenizer.json", threads=1)
        [row] = Encoder(tokenizer, "chat", 50).encode([talk(*texts)])
        assert isinstance(row, EncodedRow) and row.tokens > 40_000


@pytest.mark.parametrize("template", [None, "", "  "])
def test_a_folder_without_a_chat_template_says_so(folder_of, template):
    tokenizer = load_tokenizer(folder_of("qwen", template) / "tokenizer.json", threads=1)
    with pytest.raises(InvalidInputError, match="has no chat template"):
        check_template("chat", tokenizer)


def test_a_sentencepiece_model_has_no_chat_template(tokenizer):
    with pytest.raises(InvalidInputError, match="chat templates come with those"):
        check_template("chat", tokenizer)


def test_a_template_without_a_place_for_a_system_turn_refuses_such_records(folder_of):
    template = "{% for m in messages if m.role != 'system' %}" + MARKED.partition("{% for m in messages %}")[2]
    template = MARKED.partition("{% for")[0] + template
    tokenizer = load_tokenizer(folder_of("qwen", template) / "tokenizer.json", threads=1)
    good, bad = Encoder(tokenizer, "chat", 100).encode([talk("q", "a"), talk("q", "a", system="s")])
    assert isinstance(good, EncodedRow)
    assert isinstance(bad, BadRecord) and "it drops a system turn" in bad.reason


def test_a_folder_whose_tokenizer_has_more_ids_than_the_model_is_refused_before_any_work(folder_of, tmp_path):
    tokenizer = load_tokenizer(folder_of("qwen", QWEN3) / "tokenizer.json", threads=1)
    last = tokenizer.vocab_size - 1
    limits = Limits(vocab_size=last)
    request = Request("in.json", tokenizer.path, tmp_path / "o.mindrecord", template="chat", limits=limits)
    with pytest.raises(InvalidInputError, match=f"gives ids up to {last}; the model has only {last} embeddings"):
        check_tokenizer(request, tokenizer)
    check_tokenizer(replace(request, limits=Limits(vocab_size=last + 1)), tokenizer)
