from __future__ import annotations

import json

import pytest

from sft_tui.checkpoint.mapping.read_config import load_model_config, parse_model_config
from sft_tui.errors import InvalidInputError

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 172,
    "vocab_size": 1024,
}


def test_what_is_left_out_has_the_defaults_of_transformers():
    config = parse_model_config(LLAMA, "config.json")
    assert (config.family, config.num_kv_heads, config.max_position_embeddings) == ("llama", 4, 2048)
    assert (config.rms_norm_eps, config.rope_theta, config.rope_scaling) == (1e-6, 10000.0, None)
    assert (config.tied, config.torch_dtype, config.architectures) == (False, "", ())
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, None)


def test_llama_3_says_more():
    scaling = {"rope_type": "llama3", "factor": 8.0}
    more = {
        "num_key_value_heads": 2,
        "rope_theta": 500000.0,
        "rope_scaling": scaling,
        "eos_token_id": [128001, 128008],
        "head_dim": 16,
        "torch_dtype": "bfloat16",
        "pad_token_id": -1,
    }
    config = parse_model_config({**LLAMA, **more}, "config.json")
    assert (config.num_kv_heads, config.rope_theta, config.rope_scaling) == (2, 500000.0, scaling)
    assert (config.eos_token_id, config.pad_token_id, config.torch_dtype) == (128001, None, "bfloat16")


def test_the_words_of_transformers_5_are_understood():
    rope = {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0}
    config = parse_model_config({**LLAMA, "rope_parameters": rope, "dtype": "float16"}, "config.json")
    assert (config.rope_theta, config.torch_dtype) == (500000.0, "float16")
    assert config.rope_scaling == {"rope_type": "llama3", "factor": 8.0}
    plain = {**LLAMA, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    assert parse_model_config(plain, "config.json").rope_scaling is None


def test_everything_that_is_wrong_is_said_at_once():
    wrong = {
        "model_type": "mistral",
        "hidden_size": "64",
        "num_attention_heads": 0,
        "vocab_size": True,
        "rms_norm_eps": -1,
        "rope_theta": float("nan"),
        "rope_scaling": [],
        "tie_word_embeddings": "yes",
        "torch_dtype": 16,
        "bos_token_id": "<s>",
        "architectures": "Llama",
    }
    with pytest.raises(InvalidInputError) as caught:
        parse_model_config(wrong, "here/config.json")
    assert caught.value.message.startswith("here/config.json cannot be used: ")
    for field in (*wrong, "num_hidden_layers is missing", "intermediate_size is missing"):
        assert field in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_attention_heads": 5}, "no multiple"),
        ({"num_key_value_heads": 3}, "no multiple"),
        ({"head_dim": 32}, "head_dim 32"),
        ({"vocab_size": 2**40}, "vocab_size"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(change, words):
    with pytest.raises(InvalidInputError, match=words):
        parse_model_config({**LLAMA, **change}, "config.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\ud800"])
def test_a_config_that_is_no_json_object_names_the_file(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidInputError, match=r"config\.json"):
        load_model_config(tmp_path)


def test_a_config_file_is_loaded(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert load_model_config(tmp_path) == parse_model_config(LLAMA, "x")
