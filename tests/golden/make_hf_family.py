#!/usr/bin/env python3
"""Write a small Qwen2 or GPT-2 checkpoint in Hugging Face layout, the same bytes every time.

    make_hf_family.py OUT qwen2|gpt2 [--tied] [--prefix] [--dtype fp16|bf16|fp32]

Needs numpy alone. `--tied`: Qwen2 without an output layer of its own; `--prefix`: GPT-2 names as GPT2LMHeadModel saves
them. Values are a fixed pseudo-random stream, so that expected_*.json beside this file, which lists what the MindFormers
converters make of these, stays valid.
"""
import argparse
import json
import pathlib
import struct

import numpy as np
from make_hf_llama import DTYPE, to_bytes  # beside this file

HIDDEN, LAYERS, HEADS, KV, INTERMEDIATE, VOCAB, POSITIONS = 64, 2, 4, 2, 172, 256, 96

def qwen2(a):
    kv = HIDDEN // HEADS * KV
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    for layer in range(LAYERS):
        for name, rows in (("q", HIDDEN), ("k", kv), ("v", kv)):
            yield f"model.layers.{layer}.self_attn.{name}_proj.weight", (rows, HIDDEN)
            yield f"model.layers.{layer}.self_attn.{name}_proj.bias", (rows,)
        yield f"model.layers.{layer}.self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield f"model.layers.{layer}.mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN)
        yield f"model.layers.{layer}.mlp.up_proj.weight", (INTERMEDIATE, HIDDEN)
        yield f"model.layers.{layer}.mlp.down_proj.weight", (HIDDEN, INTERMEDIATE)
        yield f"model.layers.{layer}.input_layernorm.weight", (HIDDEN,)
        yield f"model.layers.{layer}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    if not a.tied:
        yield "lm_head.weight", (VOCAB, HIDDEN)


def gpt2(a):
    prefix = "transformer." if a.prefix else ""
    yield prefix + "wte.weight", (VOCAB, HIDDEN)
    yield prefix + "wpe.weight", (POSITIONS, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in (
            ("ln_1", (HIDDEN,)),
            ("attn.c_attn", (HIDDEN, 3 * HIDDEN)),
            ("attn.c_proj", (HIDDEN, HIDDEN)),
            ("ln_2", (HIDDEN,)),
            ("mlp.c_fc", (HIDDEN, 4 * HIDDEN)),
            ("mlp.c_proj", (4 * HIDDEN, HIDDEN)),
        ):
            yield f"{prefix}h.{layer}.{name}.weight", shape
            yield f"{prefix}h.{layer}.{name}.bias", shape[-1:]
    yield prefix + "ln_f.weight", (HIDDEN,)
    yield prefix + "ln_f.bias", (HIDDEN,)


def config(a):
    common = {"vocab_size": VOCAB, "torch_dtype": DTYPE[a.dtype][2], "bos_token_id": 0, "eos_token_id": 0}
    if a.family == "gpt2":
        return {**common, "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": HIDDEN,
                "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS, "layer_norm_epsilon": 1e-5}
    return {**common, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
            "intermediate_size": INTERMEDIATE, "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-6,
            "tie_word_embeddings": a.tied}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("family", choices=["qwen2", "gpt2"])
    p.add_argument("--tied", action="store_true")
    p.add_argument("--prefix", action="store_true")
    p.add_argument("--dtype", choices=DTYPE, default="fp16")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2024)
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in {"qwen2": qwen2, "gpt2": gpt2}[a.family](a):
        data = to_bytes(rng.standard_normal(shape, dtype=np.float32) * 0.02 + ("norm" in name or "ln_" in name), a.dtype)
        header[name] = {"dtype": DTYPE[a.dtype][0], "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    blob = json.dumps(header, separators=(",", ":")).encode()
    (a.out / "model.safetensors").write_bytes(struct.pack("<Q", len(blob)) + blob + body)
    (a.out / "config.json").write_text(json.dumps(config(a), indent=1))


if __name__ == "__main__":
    main()
