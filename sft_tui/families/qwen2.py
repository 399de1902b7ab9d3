"""Qwen1.5, Qwen2 and Qwen2.5: MindFormers' Llama with biases, as its research/qwen2 (1.3) and research/qwen2_5 have it.

1.2 left out a tied lm_head.weight.
"""

from __future__ import annotations

from dataclasses import replace

from sft_tui.families.family import Family, PublishedModel, Releases
from sft_tui.families.llama import CELLS, FEED_FORWARD, LLAMA, NETWORK, layer_rules

QWEN2 = Family(
    name="qwen2",
    title="Qwen2",
    trained=Releases(),
    planned=True,
    about="Qwen2, Qwen2.5",
    network=replace(NETWORK, trainer_model="qwen2_5_7b", words={"qkv_has_bias": True}),
    lora=CELLS,
    architectures=("Qwen2ForCausalLM",),
    first=LLAMA.first,
    layer=layer_rules(
        ("self_attn.q_proj.weight", "attention.wq.weight", ("hidden", "hidden")),
        ("self_attn.q_proj.bias", "attention.wq.bias", ("hidden",)),
        ("self_attn.k_proj.weight", "attention.wk.weight", ("kv", "hidden")),
        ("self_attn.k_proj.bias", "attention.wk.bias", ("kv",)),
        ("self_attn.v_proj.weight", "attention.wv.weight", ("kv", "hidden")),
        ("self_attn.v_proj.bias", "attention.wv.bias", ("kv",)),
        ("self_attn.o_proj.weight", "attention.wo.weight", ("hidden", "hidden")),
        *FEED_FORWARD,
    ),
    last=LLAMA.last,
    tied_target=LLAMA.tied_target,
    tied_source=LLAMA.tied_source,
    skipped=LLAMA.skipped,
    aliases=("qwen2_5",),
    fixed={"hidden_act": "silu"},
    config_defaults={"max_position_embeddings": 32768, "rms_norm_eps": 1e-6},
    tokenizer="tokenizer.json",
    published=(
        PublishedModel("Qwen2.5 0.5B Instruct", "Qwen/Qwen2.5-0.5B-Instruct", 0.49, 1.0, 32768, "Small, for a try."),
        PublishedModel("Qwen2.5 1.5B Instruct", "Qwen/Qwen2.5-1.5B-Instruct", 1.54, 3.1, 32768),
        PublishedModel("Qwen2.5 7B", "Qwen/Qwen2.5-7B", 7.62, 15.2, 131072),
        PublishedModel("Qwen2.5 7B Instruct", "Qwen/Qwen2.5-7B-Instruct", 7.62, 15.2, 32768),
        PublishedModel("Qwen2.5 14B Instruct", "Qwen/Qwen2.5-14B-Instruct", 14.8, 29.5, 32768),
        PublishedModel("Qwen2.5 32B Instruct", "Qwen/Qwen2.5-32B-Instruct", 32.8, 65.5, 32768),
        PublishedModel("Qwen2.5 72B Instruct", "Qwen/Qwen2.5-72B-Instruct", 72.7, 145.4, 32768),
    ),
)
