"""Writes the random weights of a small decoder (Llama, Qwen2, Qwen3) in Hugging Face layout, from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Iterator

from sft_tui.demo.toy_files import as_bytes, write_json, write_safetensors


def write_decoder_weights(folder: Path, config: Mapping[str, object], *, seed: int = 0, shards: int = 1) -> None:
    """Write model.safetensors, or `shards` files and their index; the same bytes every time.

    `config` is the model's config.json: Qwen2 has biases, Qwen3 norms of queries and keys.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    dtype = str(config["torch_dtype"])
    tensors: list[tuple[str, tuple[int, ...], bytes]] = []
    for name, shape in _tensor_shapes(config):
        noise = random.standard_normal(shape) * 0.02
        # norms a little off one and biases off zero, so that a mix-up of two of them shows
        middle = 1.0 if name.endswith("norm.weight") else 0.0
        tensors.append((name, shape, as_bytes((noise + middle).astype(np.float32), dtype)))
    per_shard = -(-len(tensors) // shards)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = tensors[shard * per_shard : (shard + 1) * per_shard]
        write_safetensors(folder / file, part, dtype)
        weight_map.update((name, file) for name, _, _ in part)
    if shards > 1:
        total = sum(len(data) for _, _, data in tensors)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / "model.safetensors.index.json", index)


def _tensor_shapes(config: Mapping[str, object]) -> Iterator[tuple[str, tuple[int, ...]]]:
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads")
    vocab, hidden, intermediate, heads = (_number(config, name) for name in names)
    head_dim = _number(config, "head_dim") if "head_dim" in config else hidden // heads
    q, kv = heads * head_dim, _number(config, "num_key_value_heads") * head_dim
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(_number(config, "num_hidden_layers")):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.self_attn.q_proj.weight", (q, hidden)
        yield f"{prefix}.self_attn.k_proj.weight", (kv, hidden)
        yield f"{prefix}.self_attn.v_proj.weight", (kv, hidden)
        yield f"{prefix}.self_attn.o_proj.weight", (hidden, q)
        if config["model_type"] == "qwen2":
            yield f"{prefix}.self_attn.q_proj.bias", (q,)
            yield f"{prefix}.self_attn.k_proj.bias", (kv,)
            yield f"{prefix}.self_attn.v_proj.bias", (kv,)
        if config["model_type"] == "qwen3":
            yield f"{prefix}.self_attn.q_norm.weight", (head_dim,)
            yield f"{prefix}.self_attn.k_norm.weight", (head_dim,)
        yield f"{prefix}.mlp.gate_proj.weight", (intermediate, hidden)
        yield f"{prefix}.mlp.up_proj.weight", (intermediate, hidden)
        yield f"{prefix}.mlp.down_proj.weight", (hidden, intermediate)
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, hidden)


def _number(config: Mapping[str, object], name: str) -> int:
    value = config[name]
    assert isinstance(value, int)
    return value
