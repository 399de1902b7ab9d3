"""A plain forward pass of GPT-2 from a Hugging Face folder, in float64: what a training of ours is measured against."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def token_losses(folder, input_ids, labels):
    """-log p of each token with a label, given those before it. Rows [rows, tokens]; a label is its own token."""
    logits = forward(folder, input_ids)[:, :-1]
    wanted = labels[:, 1:]
    logits = logits - logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    counted = wanted != -100
    picked = np.take_along_axis(logs, np.where(counted, wanted, 0)[..., None], -1)[..., 0]
    return -picked[counted]


def forward(folder, input_ids):
    """Logits [rows, tokens, vocabulary]."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {
        name.removeprefix("transformer."): values.astype(np.float64)
        for file in sorted(folder.glob("*.safetensors"))
        for name, values in load_file(file).items()
    }
    heads, eps = config["n_head"], config["layer_norm_epsilon"]
    rows, tokens = input_ids.shape
    causal = np.triu(np.full((tokens, tokens), -np.inf), 1)

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def linear(x, name):
        return x @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def in_heads(x):
        return x.reshape(rows, tokens, heads, -1).swapaxes(1, 2)

    states = tensors["wte.weight"][input_ids] + tensors["wpe.weight"][:tokens]
    for layer in range(config["n_layer"]):
        block = f"h.{layer}"
        query, key, value = map(
            in_heads, np.split(linear(norm(states, f"{block}.ln_1"), f"{block}.attn.c_attn"), 3, -1)
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]) + causal
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ value
        states = states + linear(mixed.swapaxes(1, 2).reshape(rows, tokens, -1), f"{block}.attn.c_proj")
        inner = linear(norm(states, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))  # gelu_new
        states = states + linear(inner, f"{block}.mlp.c_proj")
    return norm(states, "ln_f") @ tensors["wte.weight"].T
