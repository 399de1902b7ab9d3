"""The token that a template teaches to end with, against those at which the model's folder stops."""

from __future__ import annotations

import json

import pytest

from sft_tui.dataset.audit.sample import audit_sample
from sft_tui.dataset.template.taught_end import describe_mismatch, find_taught_end, parse_taught_end
from sft_tui.dataset.tokenizer.load import load_tokenizer
from sft_tui.demo.toy_qwen3 import write_toy_tokenizer

END, OTHER = "<|im_end|>", "<|endoftext|>"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def folder(tmp_path):
    """folder(stops): a tokenizer whose template ends turns with <|im_end|>; generation stops at `stops`."""

    def make(stops, name="generation_config.json"):
        write_toy_tokenizer(tmp_path, ["what is it"] * 3, 281)
        settings = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        ids = {
            item["content"]: item["id"]
            for item in json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]
        }
        make.ids = ids
        numbers = [ids[word] for word in stops] if isinstance(stops, list) else ids.get(stops)
        (tmp_path / name).write_text(json.dumps({} if stops is None else {"eos_token_id": numbers}))
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("stops", "agrees"),
    [(OTHER, False), ([OTHER], False), ([END, OTHER], True), (END, True), (None, True), ([], True)],
)
@pytest.mark.parametrize("template", ["chat", "chatml"])
def test_it_is_said_where_generation_would_go_on(folder, stops, agrees, template):
    end = find_taught_end(load_tokenizer(folder(stops)), template)
    assert (end.token, end.id, end.agrees) == (END, folder.ids[END], agrees)
    assert parse_taught_end(end.to_json()) == end
    if not agrees:
        message, hint = describe_mismatch(end, template)
        assert all(word in message for word in (f"{END} (", f"{OTHER} (", "generation_config.json"))
        assert "--end_token" in hint


def test_config_json_says_it_where_nothing_else_does(folder):
    end = find_taught_end(load_tokenizer(folder(OTHER, "config.json")), "chat")
    assert (end.stops, end.said_in, end.agrees) == ((folder.ids[OTHER],), "config.json", False)


def test_a_sentencepiece_model_with_another_template(golden, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes((golden / "tokenizer.model").read_bytes())
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 32000}')
    end = find_taught_end(load_tokenizer(tmp_path / "tokenizer.model"), "vicuna_v1.1")
    assert (end.token, end.id, end.agrees) == ("</s>", 2, False)


def test_the_models_folder_is_asked_where_the_tokenizer_lies_elsewhere(folder, tmp_path):
    tokenizer, model = load_tokenizer(folder(None)), tmp_path / "model"
    model.mkdir()
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": folder.ids[OTHER]}))
    assert find_taught_end(tokenizer, "chat").agrees and not find_taught_end(tokenizer, "chat", model).agrees


def test_the_audit_of_a_sample_has_it(folder, tmp_path):
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"instruction": "i", "output": "o"}]))
    report = audit_sample(data, load_tokenizer(folder(OTHER)), "chat", 256)
    assert report.end is not None and report.to_json()["end"]["agrees"] is False
