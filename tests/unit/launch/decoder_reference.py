"""Llama, Qwen2 and Qwen3, dense or with experts, in double precision: the loss of each token of a folder's model."""

from __future__ import annotations

import json

import numpy as np


def load_tensors(folder):
    """The tensors of model.safetensors as float64; bfloat16 is read by hand, for numpy has none."""
    data = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[start + begin : start + end]
            if entry["dtype"] == "BF16":
                array = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                array = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
            tensors[name] = array.reshape(entry["shape"]).astype(np.float64)
    return tensors


def token_losses(folder, input_ids, labels):
    """Losses (natural logarithm) of the tokens of a row whose label is one; labels are shifted already."""
    config, weights = json.loads((folder / "config.json").read_text()), load_tensors(folder)
    hidden = weights["model.embed_tokens.weight"][input_ids]
    for layer in range(config["num_hidden_layers"]):
        part = {name.split(".", 3)[3]: w for name, w in weights.items() if name.startswith(f"model.layers.{layer}.")}
        hidden = hidden + _attend(config, part, _norm(config, hidden, part["input_layernorm.weight"]))
        normed = _norm(config, hidden, part["post_attention_layernorm.weight"])
        hidden = hidden + (_experts(config, part, normed) if "mlp.gate.weight" in part else _feed(part, "mlp", normed))
    head = weights["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    logits = _norm(config, hidden, weights["model.norm.weight"]) @ head.T
    logits = logits - logits.max(-1, keepdims=True)
    logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    places = np.flatnonzero(labels != -100)
    return -logits[places, labels[places]]


def _feed(part, name, x):
    gate, up = (x @ part[f"{name}.{which}_proj.weight"].T for which in ("gate", "up"))
    return (gate / (1 + np.exp(-gate)) * up) @ part[f"{name}.down_proj.weight"].T


def _experts(config, part, x):
    """Each token by the experts that its router likes most, weighed by their share (of all, or of these)."""
    score = x @ part["mlp.gate.weight"].T
    share = np.exp(score - score.max(-1, keepdims=True))
    share = share / share.sum(-1, keepdims=True)
    best = np.argsort(-share, -1)[:, : config["num_experts_per_tok"]]
    kept = np.zeros_like(share)
    np.put_along_axis(kept, best, np.take_along_axis(share, best, -1), -1)
    if config["norm_topk_prob"]:
        kept = kept / kept.sum(-1, keepdims=True)
    return sum(kept[:, [e]] * _feed(part, f"mlp.experts.{e}", x) for e in range(config["num_experts"]))


def _norm(config, x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight


def _attend(config, part, x):
    tokens, size = len(x), config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    query, key, value = (
        (x @ part[f"self_attn.{name}_proj.weight"].T + part.get(f"self_attn.{name}_proj.bias", 0))
        .reshape(tokens, -1, size)
        .transpose(1, 0, 2)
        for name in "qkv"
    )
    if "self_attn.q_norm.weight" in part:
        query = _norm(config, query, part["self_attn.q_norm.weight"])
        key = _norm(config, key, part["self_attn.k_norm.weight"])
    query, key = _turn(config, query), _turn(config, key)
    group = len(query) // len(key)
    key, value = np.repeat(key, group, 0), np.repeat(value, group, 0)
    score = query @ key.transpose(0, 2, 1) / np.sqrt(size)
    score = np.where(np.triu(np.ones((tokens, tokens), bool), 1), -np.inf, score)
    share = np.exp(score - score.max(-1, keepdims=True))
    mixed = share / share.sum(-1, keepdims=True) @ value
    return mixed.transpose(1, 0, 2).reshape(tokens, -1) @ part["self_attn.o_proj.weight"].T


def _turn(config, x):
    """Rotary positions; the first half of a head is paired with the second."""
    size = x.shape[-1]
    speed = config.get("rope_theta", 10000.0) ** (-np.arange(0, size, 2) / size)
    angle = np.outer(np.arange(x.shape[1]), _scale(config.get("rope_scaling"), speed))
    angle = np.concatenate([angle, angle], -1)
    turned = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return x * np.cos(angle) + turned * np.sin(angle)


def _scale(scaling, speed):
    """Llama 3.1: slow angles go slower by the factor, fast ones stay, those between are mixed by their wave length."""
    if not scaling:
        return speed
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    waves = original / (2 * np.pi / speed)  # how many fit into the original context
    share = np.clip((waves - low) / (high - low), 0, 1)
    return (1 - share) * speed / factor + share * speed
