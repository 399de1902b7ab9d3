"""Qwen3, dense."""

from __future__ import annotations

from sft_tui.families.direct_layers import (
    ATTENTION,
    CELLS,
    DEFAULTS,
    FIRST,
    INFERS,
    LAST,
    LOADED_AS_IT_IS,
    OLDER,
    ONE_LAYOUT,
    gate_up,
    layer_rule,
)
from sft_tui.families.family import Family, PublishedModel, Releases

QWEN3 = Family(
    name="qwen3",
    title="Qwen3",
    trained=Releases(since="1.7"),
    refused=((Releases(until="1.3"), OLDER), (Releases(since="1.6", until="1.6"), INFERS)),
    direct=True,
    planned=True,
    about="dense",
    base_yaml="qwen3/finetune_qwen3.yaml",
    lora=CELLS,
    architectures=("Qwen3ForCausalLM",),
    first=FIRST,
    layer=(
        *ATTENTION,
        *gate_up(),
        layer_rule("mlp.down_proj.weight", "mlp.linear_fc2.weight", "hidden", "intermediate"),
    ),
    last=LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_defaults=DEFAULTS,
    tokenizer="tokenizer.json",
    fixed=ONE_LAYOUT,
    published=(
        PublishedModel(
            "Qwen3 0.6B", "Qwen/Qwen3-0.6B", 0.6, 1.5, 40960, f"{LOADED_AS_IT_IS} Small: for a first try on one NPU."
        ),
        PublishedModel("Qwen3 1.7B", "Qwen/Qwen3-1.7B", 1.72, 4.1, 40960, LOADED_AS_IT_IS),
        PublishedModel("Qwen3 4B", "Qwen/Qwen3-4B", 4.02, 8.0, 40960, LOADED_AS_IT_IS),
        PublishedModel("Qwen3 8B", "Qwen/Qwen3-8B", 8.19, 16.4, 40960, LOADED_AS_IT_IS),
        PublishedModel("Qwen3 14B", "Qwen/Qwen3-14B", 14.8, 29.5, 40960, LOADED_AS_IT_IS),
        PublishedModel("Qwen3 32B", "Qwen/Qwen3-32B", 32.8, 65.5, 40960, LOADED_AS_IT_IS),
    ),
)
