"""Writes a small random GLM-4-9B as it came first: own names in config.json, a tokenizer that is no tokenizer.json."""

from __future__ import annotations

import base64

import numpy as np

from sft_tui.demo.toy_bpe import byte_letters, train_bpe
from sft_tui.demo.toy_files import as_bytes, write_json, write_safetensors, write_tokenizer_json

SPECIAL = ("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>")
# does what GLM-4's template does with turns of text
TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}<|user|>{% endif %}"
)


def write_toy_chatglm(folder, tokenizer_folder, texts, *, seed=0):
    """The model in `folder`; tokenizer.json and chat template, which came later, in `tokenizer_folder`."""
    folder.mkdir(parents=True)
    tokenizer_folder.mkdir(parents=True)
    words, merges = train_bpe(texts, 600)
    special = {text: len(words) + place for place, text in enumerate(SPECIAL)}
    described = write_tokenizer_json(tokenizer_folder, words, merges, special, never_text=SPECIAL)
    write_json(
        tokenizer_folder / "tokenizer_config.json",
        {
            "added_tokens_decoder": described, "chat_template": TEMPLATE, "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )  # fmt: skip
    as_byte = {letter: bytes([byte]) for byte, letter in enumerate(byte_letters())}
    lines = [
        f"{base64.b64encode(b''.join(as_byte[letter] for letter in word)).decode()} {number}\n"
        for word, number in words.items()
    ]
    (folder / "tokenizer.model").write_text("".join(lines))
    config = {
        "add_bias_linear": False, "add_qkv_bias": True, "apply_residual_connection_post_layernorm": False,
        "architectures": ["ChatGLMModel"], "attention_dropout": 0.0, "eos_token_id": [special["<|endoftext|>"]],
        "ffn_hidden_size": 96, "hidden_dropout": 0.0, "hidden_size": 64, "kv_channels": 16,
        "layernorm_epsilon": 1.5625e-07, "model_type": "chatglm", "multi_query_attention": True,
        "multi_query_group_num": 2, "num_attention_heads": 4, "num_layers": 2, "original_rope": True,
        "pad_token_id": special["<|endoftext|>"], "padded_vocab_size": 640, "post_layer_norm": True, "rmsnorm": True,
        "rope_ratio": 1, "seq_length": 512, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "vocab_size": 640,
    }  # fmt: skip
    write_json(folder / "config.json", config)
    random = np.random.default_rng(seed)
    tensors = []
    for name, shape in [*_shapes(config), ("transformer.rotary_pos_emb.inv_freq", (8,))]:
        middle = 1.0 if "layernorm" in name else 0.0
        values = (random.standard_normal(shape) * 0.02 + middle).astype(np.float32)
        tensors.append((name, shape, as_bytes(values, "bfloat16")))
    write_safetensors(folder / "model.safetensors", tensors, "bfloat16")


def _shapes(config):
    vocab, hidden, ffn, kv = 640, config["hidden_size"], config["ffn_hidden_size"], 2 * config["kv_channels"]
    yield "transformer.embedding.word_embeddings.weight", (vocab, hidden)
    for layer in range(config["num_layers"]):
        at = f"transformer.encoder.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        yield at + "self_attention.query_key_value.weight", (hidden + 2 * kv, hidden)
        yield at + "self_attention.query_key_value.bias", (hidden + 2 * kv,)
        yield at + "self_attention.dense.weight", (hidden, hidden)
        yield at + "post_attention_layernorm.weight", (hidden,)
        yield at + "mlp.dense_h_to_4h.weight", (2 * ffn, hidden)
        yield at + "mlp.dense_4h_to_h.weight", (hidden, ffn)
    yield "transformer.encoder.final_layernorm.weight", (hidden,)
    yield "transformer.output_layer.weight", (vocab, hidden)
