"""A toy Qwen3-MoE folder: that of the rehearsal, with experts in the place of its feed-forward."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from sft_tui.demo.toy_qwen3 import write_toy_qwen3

FLOATS = {"float16": np.float16, "float32": np.float32}


def write_toy_qwen3_moe(
    folder: Path, *, experts: int = 4, per_token: int = 2, inner: int = 24, dtype: str = "float32", **sizes: int
) -> None:
    """Write a complete folder; the same bytes every time. `sizes` are those of `write_toy_qwen3`."""
    write_toy_qwen3(folder, tied=False, dtype=dtype, **sizes)
    config = json.loads((folder / "config.json").read_text())
    file, random = folder / "model.safetensors", np.random.default_rng(7)
    weights = {name: values for name, values in load_file(file).items() if ".mlp." not in name}

    def add(name: str, *shape: int) -> None:
        # wide enough that tokens differ in the experts they go to
        weights[f"{name}.weight"] = (random.standard_normal(shape) * 0.2).astype(FLOATS[dtype])

    for layer in range(config["num_hidden_layers"]):
        mlp = f"model.layers.{layer}.mlp"
        add(f"{mlp}.gate", experts, config["hidden_size"])
        for expert in range(experts):
            for part in ("gate_proj", "up_proj"):
                add(f"{mlp}.experts.{expert}.{part}", inner, config["hidden_size"])
            add(f"{mlp}.experts.{expert}.down_proj", config["hidden_size"], inner)
    save_file(weights, file, metadata={"format": "pt"})
    config.update(
        architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", num_experts=experts,
        num_experts_per_tok=per_token, moe_intermediate_size=inner, norm_topk_prob=True, decoder_sparse_step=1,
        mlp_only_layers=[], router_aux_loss_coef=0.001,
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2))
