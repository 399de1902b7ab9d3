from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.encode.prompt import build_prompt, write_prompt
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.template.dialog import Dialog
from sft_tui.dataset.template.layouts import all_templates, check_template, list_templates, load_layout, why_refused
from sft_tui.errors import InvalidInputError
from tests.unit.dataset.rows import encode_conversation

# Every template of FastChat 0.2.36 and our own. Usable: what an answer ends with; else why not.
USABLE = {
    "Nous-Hermes-2-Mixtral-8x7B-DPO": "<|im_end|>",
    "OpenHermes-2.5-Mistral-7B": "<|im_end|>",
    "ReaLM-7b-v1": "</s>",
    "TinyLlama": "</s>",
    "Yi-34b-chat": "<|im_end|>",
    "airoboros_v1": "</s>",
    "airoboros_v2": "</s>",
    "airoboros_v3": " </s>",
    "alpaca": "</s>",
    "aquila": "</s>",
    "aquila-chat": "###",
    "aquila-legacy": "</s>",
    "aquila-v1": "</s>",
    "catppt": "</s>",
    "chatml": "<|im_end|>",
    "chinese-alpaca2": " </s>",
    "deepseek-chat": "<｜end▁of▁sentence｜>",
    "dolly_v2": "### End",
    "dolphin-2.2.1-mistral-7b": "<|im_end|>",
    "gpt2": "<|endoftext|>",
    "h2ogpt": "</s>",
    "internlm-chat": "<eoa>",
    "koala_v1": "</s>",
    "lemur-70b-chat": "<|im_end|>",
    "llama-2": " </s>",
    "llama-3": "<|eot_id|>",
    "llama2-chinese": "\n</s>",
    "manticore": "</s>",
    "mistral": "</s>",
    "mistral-7b-openorca": "<|im_end|>",
    "mpt-30b-chat": "<|im_end|>",
    "mpt-7b-chat": "<|im_end|>",
    "oasst_llama": "</s>",
    "oasst_pythia": "<|endoftext|>",
    "one_shot": "\n###",
    "open-orca": "<|end_of_turn|>",
    "openchat_3.5": "<|end_of_turn|>",
    "orca-2": "<|im_end|>",
    "phoenix": "</s>",
    "qwen-7b-chat": "<|im_end|>",
    "starchat": "<|end|>",
    "tenyxchat": "<|end_of_turn|>",
    "vicuna_v1.1": "</s>",
    "vigogne_chat_v2": "</s>",
    "vigogne_chat_v3": " </s>",
    "vigogne_instruct": "</s>",
    "yuan": "<sep>",
    "zephyr": "</s>",
    "zero_shot": "\n###",
}
NOTHING, BLANK, SERVICE = "writes nothing behind", "which answers hold as well", "for a service"
REFUSED = {
    "Robin": BLANK,
    "baichuan-chat": NOTHING,
    "baichuan2-chat": NOTHING,
    "baize": BLANK,
    "bard": SERVICE,
    "billa": BLANK,
    "chatglm": "every round alike",
    "chatglm2": "every round alike",
    "chatglm3": NOTHING,
    "chatgpt": SERVICE,
    "claude": BLANK,
    "codegeex": BLANK,
    "cutegpt": BLANK,
    "deepseek-coder": BLANK,
    "falcon": "changes the texts",
    "falcon-chat": BLANK,
    "gemini": SERVICE,
    "metamath": NOTHING,
    "metharme": NOTHING,
    "mpt-30b-instruct": BLANK,
    "openbuddy": BLANK,
    "phind": BLANK,
    "polyglot_changgpt": BLANK,
    "pplxai": SERVICE,
    "raw": NOTHING,
    "redpajama-incite": BLANK,
    "rwkv": "changes the texts",
    "snoozy": BLANK,
    "solar": BLANK,
    "stable-vicuna": BLANK,
    "stablelm": NOTHING,
    "steerlm": SERVICE,
    "tigerbot": BLANK,
    "tulu": BLANK,
    "xdan-v1": BLANK,
    "xgen": BLANK,
    "yuan2": "changes once the answer is there",
}


def talk(*texts: str, system: str = "") -> Conversation:
    turns = tuple(Turn(("human", "gpt")[index % 2], text) for index, text in enumerate(texts))
    return Conversation(1, "1", ((Turn("system", system),) if system else ()) + turns)


class Words:
    """A tokenizer of characters that has the tokens it is told of."""

    def __init__(self, path, *special):
        self.path = path
        self.special_tokens = {text: number for number, text in enumerate(special)}
        self.bos_id, self.unk_id, self.pad_id, self.eos_id = None, None, 900, 901


def test_the_table_has_every_template():
    assert sorted([*USABLE, *REFUSED]) == all_templates()
    assert list_templates("hf") == sorted(USABLE)


@pytest.mark.parametrize("name", sorted(USABLE))
def test_a_usable_template_says_where_an_answer_ends(name, tmp_path):
    end = USABLE[name]
    layout = load_layout(name)
    assert layout.end.startswith(end)
    assert check_template(name, Words(tmp_path, end.strip())) == len(end)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_template_that_would_be_guessed_is_refused(name, tokenizer):
    assert REFUSED[name] in why_refused(name)
    assert name not in list_templates("hf")
    with pytest.raises(InvalidInputError, match=f"Template `{name}` cannot be used") as caught:
        check_template(name, tokenizer)
    assert REFUSED[name] in caught.value.message
    assert "Usable, for example: " in caught.value.hint


def test_a_llama_tokenizer_serves_the_templates_that_end_answers_with_its_eos():
    names = list_templates("sentencepiece")
    assert {"vicuna_v1.1", "llama-2", "alpaca", "zephyr", "TinyLlama", "mistral"} <= set(names)
    assert set(names) == {name for name, end in USABLE.items() if "</s>" in end or "###" in end} - {"dolly_v2"}


@pytest.mark.parametrize("name", ["qwen-7b-chat", "llama-3", "deepseek-chat", "dolly_v2"])
def test_a_template_whose_end_the_tokenizer_lacks_is_refused(name, tokenizer):
    with pytest.raises(InvalidInputError, match="has no token `") as caught:
        check_template(name, tokenizer)
    assert USABLE[name] in caught.value.message
    assert caught.value.hint.startswith("Usable, for example: ")
    for other in caught.value.hint[len("Usable, for example: ") : -1].split(", "):
        assert check_template(other, tokenizer)


def test_an_unknown_template_names_those_like_it(tokenizer):
    with pytest.raises(InvalidInputError, match=r"no template `vicuna_v1`"):
        check_template("vicuna_v1", tokenizer)
    with pytest.raises(InvalidInputError) as caught:
        build_prompt(talk("q", "a"), "vicuna")
    assert "vicuna_v1.1" in caught.value.hint
    with pytest.raises(InvalidInputError) as caught:
        load_layout("%%%")
    assert "llama-3" in caught.value.hint


ODD = st.lists(
    st.one_of(
        st.sampled_from(
            ["</s>", "<s>", "\n\n", "\r\n", " ", "###", ": ", "{x}", "<n>", "<|im_end|>", "USER:", "[INST]", "a"]
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=6,
).map("".join)


@given(
    name=st.sampled_from(sorted(set(USABLE) - {"llama-3", "chatml", "gpt2"})),
    texts=st.lists(ODD, min_size=1, max_size=7),
    system=st.one_of(st.none(), ODD),
)
def test_a_layout_writes_what_fastchat_writes(name, texts, system):
    get_conv_template = pytest.importorskip("fastchat.conversation").get_conv_template
    layout = load_layout(name)
    filled = get_conv_template(name)
    if system is not None and layout.system is not None:
        filled.set_system_message(system)
    for index, text in enumerate(texts):
        filled.append_message(filled.roles[index % 2], text)
    if len(texts) % 2:
        filled.append_message(filled.roles[1], None)  # what a model is given to make it answer
    prompt = write_prompt(Dialog(system, tuple(texts)), layout, len(layout.end))
    expected = filled.get_prompt()
    assert prompt.text == (expected.rstrip(" ") if len(texts) % 2 else expected)
    for (begin, end), answer in zip(prompt.answers, texts[1::2]):
        assert prompt.text[begin:end] == layout.lead + answer + layout.end
        assert prompt.text[:begin].endswith(layout.middle)


@pytest.mark.parametrize("template", ["alpaca", "koala_v1", "airoboros_v2"])
def test_templates_with_two_separators_learn_the_answer(tokenizer, template):
    row = encode_conversation(talk("q", "the answer"), tokenizer, template, 256)
    learned = row.input_ids[row.labels != IGNORE_TOKEN_ID].tolist()
    assert learned == [*tokenizer.encode("the answer"), tokenizer.eos_id]


@pytest.mark.parametrize("name", list_templates("sentencepiece"))
@pytest.mark.parametrize("system", ["", "Be brief."])
def test_what_is_learned_reads_as_the_answers_and_their_ends(name, system, tokenizer):
    answers = ["one 1", "two\n\n2", "3"]
    turns = [text for index, answer in enumerate(answers) for text in (f"question {index}?", answer)]
    if system and load_layout(name).system is None:
        system = ""
    row = Encoder(tokenizer, name, 4000).encode([talk(*turns, system=system)])[0]
    learned = tokenizer.decode(row.input_ids[row.labels != IGNORE_TOKEN_ID].tolist())
    end = USABLE[name]
    if name == "vicuna_v1.1":  # the reference's path leaves a system turn out
        assert row.left_out == bool(system)
    expected = "".join(answer + end for answer in answers)
    assert learned.replace(" ", "") == expected.replace(" ", "")
    if system and name != "vicuna_v1.1":
        assert system in tokenizer.decode(row.input_ids.tolist())
