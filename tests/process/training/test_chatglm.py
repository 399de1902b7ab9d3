"""GLM-4-9B as it came first, with the real MindFormers: trained, and its numbers against a plain forward pass."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors import safe_open

from sft_tui.demo.records import build_records
from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data
from tests.unit.toy_chatglm import write_toy_chatglm

pytestmark = [pytest.mark.real, pytest.mark.nightly]


def normed(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotated(x, positions, theta):
    """The first half of a head in pairs of neighbours; x is (positions, heads, head_dim)."""
    half = x.shape[-1] // 2
    angles = positions[:, None] / theta ** (np.arange(0, half, 2) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    even, odd = x[..., :half:2], x[..., 1:half:2]
    turned = np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(*x.shape[:-1], half)
    return np.concatenate([turned, x[..., half:]], -1)


def token_losses(folder, ids, labels):
    """The loss at each place whose label counts, in double precision."""
    config = json.loads((folder / "config.json").read_text())
    with safe_open(folder / "model.safetensors", "np") as file:  # float32, as it was exported
        weights = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
    heads, groups, size = (config[name] for name in ("num_attention_heads", "multi_query_group_num", "kv_channels"))
    eps, length = config["layernorm_epsilon"], len(ids)
    x = weights["transformer.embedding.word_embeddings.weight"][ids]
    mask = np.triu(np.full((length, length), -np.inf), 1)
    for layer in range(config["num_layers"]):
        at = f"transformer.encoder.layers.{layer}."
        h = normed(x, weights[at + "input_layernorm.weight"], eps)
        qkv = h @ weights[at + "self_attention.query_key_value.weight"].T
        qkv += weights[at + "self_attention.query_key_value.bias"]
        parts = np.split(qkv, [heads * size, (heads + groups) * size], -1)
        q, k, v = (part.reshape(length, -1, size) for part in parts)
        q, k = (rotated(part, np.arange(length), 10000.0 * config["rope_ratio"]) for part in (q, k))
        k, v = (np.repeat(part, heads // groups, 1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(size) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v).reshape(length, -1)
        x = x + mixed @ weights[at + "self_attention.dense.weight"].T
        h = normed(x, weights[at + "post_attention_layernorm.weight"], eps)
        gate, up = np.split(h @ weights[at + "mlp.dense_h_to_4h.weight"].T, 2, -1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[at + "mlp.dense_4h_to_h.weight"].T
    x = normed(x, weights["transformer.encoder.final_layernorm.weight"], eps)
    logits = x @ weights["transformer.output_layer.weight"].T
    logits -= logits.max(-1, keepdims=True)
    chosen = labels != -100
    return (np.log(np.exp(logits).sum(-1)) - logits[np.arange(length), np.where(chosen, labels, 0)])[chosen]


def held_out_loss(folder, mindrecord):
    """The mean of the rows' means, as MindFormers has it; labels are shifted already."""
    from mindspore.mindrecord import FileReader

    reader = FileReader(str(mindrecord))
    rows = [(np.array(row["input_ids"]), np.array(row["labels"])) for row in reader.get_next()]
    reader.close()
    return float(np.mean([token_losses(folder, ids, labels).mean() for ids, labels in rows]))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_was_measured_is_what_the_folder_is(sft, home, method):
    data = write_workspace(home / "demo")
    texts = [f"{record['instruction']}\n{record['input']}\n{record['output']}" for record in build_records()]
    model, tokenizer = home / "glm", home / "glm-hf"
    write_toy_chatglm(model, tokenizer, texts)
    data["model"].update(family="chatglm", hf_dir=str(model), tokenizer_model=str(tokenizer / "tokenizer.json"))
    data["dataset"]["template"] = "chat"
    data["training"].update(epochs=1, method=method)
    save_profile_data(profiles_dir(), "glm", data)
    result = sft("run", "glm", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    [run] = (home / "demo/work/runs").iterdir()
    summary, hf = json.loads((run / "summary.json").read_text()), home / "hf"
    scaling = data["training"]["lora_alpha"] / data["training"]["lora_rank"]
    back = sft(
        "convert-weight", "--model", "chatglm", "--reversed", "--input_path", summary["checkpoint"],
        "--config_path", model, "--output_path", hf, "--dtype", "fp32",
        *(("--lora_scaling", scaling) if method == "lora" else ()),
    )  # fmt: skip
    assert back.returncode == 0, back.stderr
    assert summary["perplexity_after"] < summary["perplexity_before"] / (5 if method == "full" else 1.05)
    eval_rows = home / "demo/work/data/eval.mindrecord"
    assert math.log(summary["perplexity_after"]) == pytest.approx(held_out_loss(hf, eval_rows), abs=1e-4)
