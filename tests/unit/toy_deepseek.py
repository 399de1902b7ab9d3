"""Writes a small random DeepSeek-V3: attention of low rank, a layer without experts, a shared expert."""

from __future__ import annotations

import json

import numpy as np

from sft_tui.demo.toy_files import as_bytes, write_json, write_safetensors
from sft_tui.demo.toy_qwen3 import write_toy_qwen3

SIZES = {
    "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 16,
    "moe_intermediate_size": 32, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 4, "n_shared_experts": 1,
    "norm_topk_prob": True, "num_attention_heads": 4, "num_experts_per_tok": 2, "num_hidden_layers": 2,
    "num_key_value_heads": 4, "num_nextn_predict_layers": 0, "q_lora_rank": 24, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_group": 1,
    "topk_method": "noaux_tc", "v_head_dim": 16,
}  # fmt: skip


def write_toy_deepseek(folder, *, texts, seed=0, **sizes):
    """A whole folder with tokenizer and chat template; `sizes` are fields of config.json."""
    write_toy_qwen3(folder, texts=texts)
    before = json.loads((folder / "config.json").read_text())
    kept = ("bos_token_id", "eos_token_id", "vocab_size", "max_position_embeddings")
    config = {
        "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "initializer_range": 0.02, "model_type": "deepseek_v3", "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
        **{name: before[name] for name in kept if name in before}, **SIZES, **sizes,
    }  # fmt: skip
    write_json(folder / "config.json", config)
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    random = np.random.default_rng(seed)
    tensors = []
    for name, shape in shapes(config):
        middle = 1.0 if "norm" in name else 0.0
        values = (random.standard_normal(shape) * 0.02 + middle).astype(np.float32)
        tensors.append((name, shape, as_bytes(values, "bfloat16")))
    write_safetensors(folder / "model.safetensors", tensors, "bfloat16")


def shapes(config):
    """Names and shapes of a folder's tensors, by its config.json."""
    hidden, vocab, heads = config["hidden_size"], config["vocab_size"], config["num_attention_heads"]
    rope, nope, value = config["qk_rope_head_dim"], config["qk_nope_head_dim"], config["v_head_dim"]
    q_rank, kv_rank, inner = config["q_lora_rank"], config["kv_lora_rank"], config["moe_intermediate_size"]
    yield "model.embed_tokens.weight", (vocab, hidden)
    last = config["num_hidden_layers"]
    for layer in range(last + config["num_nextn_predict_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        yield at + "self_attn.q_a_proj.weight", (q_rank, hidden)
        yield at + "self_attn.q_a_layernorm.weight", (q_rank,)
        yield at + "self_attn.q_b_proj.weight", (heads * (nope + rope), q_rank)
        yield at + "self_attn.kv_a_proj_with_mqa.weight", (kv_rank + rope, hidden)
        yield at + "self_attn.kv_a_layernorm.weight", (kv_rank,)
        yield at + "self_attn.kv_b_proj.weight", (heads * (nope + value), kv_rank)
        yield at + "self_attn.o_proj.weight", (hidden, heads * value)
        yield at + "post_attention_layernorm.weight", (hidden,)
        if layer < config["first_k_dense_replace"]:
            yield from _feed_forward(at + "mlp", config["intermediate_size"], hidden)
            continue
        yield at + "mlp.gate.weight", (config["n_routed_experts"], hidden)
        yield at + "mlp.gate.e_score_correction_bias", (config["n_routed_experts"],)
        yield from _feed_forward(at + "mlp.shared_experts", config["n_shared_experts"] * inner, hidden)
        for expert in range(config["n_routed_experts"]):
            yield from _feed_forward(at + f"mlp.experts.{expert}", inner, hidden)
        if layer >= last:
            yield at + "embed_tokens.weight", (vocab, hidden)
            yield at + "enorm.weight", (hidden,)
            yield at + "hnorm.weight", (hidden,)
            yield at + "eh_proj.weight", (hidden, 2 * hidden)
            yield at + "shared_head.norm.weight", (hidden,)
            yield at + "shared_head.head.weight", (vocab, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocab, hidden)


def _feed_forward(name, inner, hidden):
    yield f"{name}.gate_proj.weight", (inner, hidden)
    yield f"{name}.up_proj.weight", (inner, hidden)
    yield f"{name}.down_proj.weight", (hidden, inner)
