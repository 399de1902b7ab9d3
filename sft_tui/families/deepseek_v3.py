"""DeepSeek-V3: its folder is known; no known MindFormers trains from it.

MindFormers 1.9 to 2.1 have a training network and files for it, for weights that are in their own layout already.

Names and shapes as transformers' DeepSeek-V3 and the published folder have them: attention of low rank, some layers
without experts at first, shared experts, and layers that predict tokens further ahead.
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.direct_layers import FIRST, LAST, OLDER
from sft_tui.families.family import Family, Releases, TensorRule, WhichLayers


def _rule(name: str, *shape: str, layers: WhichLayers = "all") -> TensorRule:
    source = "model.layers.{layer}." + name
    return TensorRule(source, source, shape, layers=layers)


def _feed_forward(name: str, inner: str, layers: WhichLayers) -> Tuple[TensorRule, ...]:
    return (
        _rule(f"{name}.gate_proj.weight", inner, "hidden", layers=layers),
        _rule(f"{name}.up_proj.weight", inner, "hidden", layers=layers),
        _rule(f"{name}.down_proj.weight", "hidden", inner, layers=layers),
    )


CANNOT_LOAD = "its training network cannot load the Hugging Face folder (it has no convert_weight_dict)"
_EXPERT = "model.layers.{layer}.mlp.experts.{expert}."

DEEPSEEK_V3 = Family(
    name="deepseek_v3",
    title="DeepSeek-V3",
    refused=(
        (Releases(until="1.3"), OLDER),
        (Releases(since="1.6", until="1.8"), "it has no training configuration for it"),
        (Releases(since="1.9"), CANNOT_LOAD),
    ),
    direct=True,
    shifted_labels=True,
    architectures=("DeepseekV3ForCausalLM",),
    low_rank_attention=True,
    first=FIRST,
    layer=(
        _rule("input_layernorm.weight", "hidden"),
        _rule("self_attn.q_a_proj.weight", "q_rank", "hidden"),
        _rule("self_attn.q_a_layernorm.weight", "q_rank"),
        _rule("self_attn.q_b_proj.weight", "q", "q_rank"),
        _rule("self_attn.kv_a_proj_with_mqa.weight", "kv_rank_and_rope", "hidden"),
        _rule("self_attn.kv_a_layernorm.weight", "kv_rank"),
        _rule("self_attn.kv_b_proj.weight", "keys_and_values", "kv_rank"),
        _rule("self_attn.o_proj.weight", "hidden", "values"),
        _rule("post_attention_layernorm.weight", "hidden"),
        *_feed_forward("mlp", "intermediate", "dense"),
        _rule("mlp.gate.weight", "experts", "hidden", layers="experts"),
        _rule("mlp.gate.e_score_correction_bias", "experts", layers="experts"),
        *_feed_forward("mlp.shared_experts", "shared_intermediate", "experts"),
        _rule("embed_tokens.weight", "vocab", "hidden", layers="ahead"),
        _rule("enorm.weight", "hidden", layers="ahead"),
        _rule("hnorm.weight", "hidden", layers="ahead"),
        _rule("eh_proj.weight", "hidden", "two_hidden", layers="ahead"),
        _rule("shared_head.norm.weight", "hidden", layers="ahead"),
        _rule("shared_head.head.weight", "vocab", "hidden", layers="ahead"),
    ),
    expert=(
        TensorRule(_EXPERT + "gate_proj.weight", _EXPERT + "gate_proj.weight", ("expert_intermediate", "hidden")),
        TensorRule(_EXPERT + "up_proj.weight", _EXPERT + "up_proj.weight", ("expert_intermediate", "hidden")),
        TensorRule(_EXPERT + "down_proj.weight", _EXPERT + "down_proj.weight", ("hidden", "expert_intermediate")),
    ),
    last=LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_names={"num_experts": "n_routed_experts"},
    config_defaults={
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "first_k_dense_replace": 3,
        "num_nextn_predict_layers": 0,
    },
    fixed={"hidden_act": "silu", "attention_bias": False, "moe_layer_freq": 1, "tie_word_embeddings": False},
    tokenizer="tokenizer.json",
    unmapped="MindFormers does not train it from its folder",
)
