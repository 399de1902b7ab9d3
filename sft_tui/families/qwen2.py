"""Qwen1.5, Qwen2 and Qwen2.5, as MindFormers' research/qwen2 (1.3) and research/qwen2_5 (1.6 to 1.9) have them.

1.2 left out a tied lm_head.weight.
"""

from __future__ import annotations

from sft_tui.families.family import Family, Releases
from sft_tui.families.llama import CELLS, FEED_FORWARD, LLAMA, layer_rules

QWEN2 = Family(
    name="qwen2",
    title="Qwen2",
    trained=Releases(),
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
)
