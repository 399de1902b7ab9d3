"""The families whose Hugging Face folder MindFormers loads as it is (1.7 and later): names, shapes and layouts.

`target` are the names in the safetensors that training saves, as `weight_mapping` and `convert_weight_dict` of
MindFormers 1.7 and `weight_converters` of 1.9 make them.
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.family import Family, Fused, Rule, Stacked

_QKV = ".self_attention.linear_qkv.weight"
_FC1 = ".mlp.linear_fc1.weight"


def _layer(source: str, target: str, *shape: str) -> Rule:
    return Rule("model.layers.{layer}." + source, "decoder.layers.{layer}." + target, shape)


def _query_key_value() -> Tuple[Rule, ...]:
    """MindFormers keeps, for each head of keys, its queries, its keys and its values one after the other."""
    names = (("q_proj", "q"), ("k_proj", "kv"), ("v_proj", "kv"))
    return tuple(
        Rule(
            f"model.layers.{{layer}}.self_attn.{name}.weight",
            "decoder.layers.{layer}" + _QKV,
            (rows, "hidden"),
            fused=Fused(which, ("q_group", "head", "head"), ("q", "kv", "kv")),
        )
        for which, (name, rows) in enumerate(names)
    )


def _gate_up() -> Tuple[Rule, ...]:
    """MindFormers keeps a row of the gate and a row of what it gates in turn."""
    return tuple(
        Rule(
            f"model.layers.{{layer}}.mlp.{name}.weight",
            "decoder.layers.{layer}" + _FC1,
            ("intermediate", "hidden"),
            fused=Fused(which, ("one", "one"), ("intermediate", "intermediate")),
        )
        for which, name in enumerate(("gate_proj", "up_proj"))
    )


_FIRST = (Rule("model.embed_tokens.weight", "embedding.word_embeddings.weight", ("vocab", "hidden")),)
_LAST = (
    Rule("model.norm.weight", "decoder.final_layernorm.weight", ("hidden",)),
    Rule("lm_head.weight", "output_layer.weight", ("vocab", "hidden")),
)
_ATTENTION = (
    _layer("input_layernorm.weight", "input_layernorm.weight", "hidden"),
    *_query_key_value(),
    _layer("self_attn.o_proj.weight", "self_attention.linear_proj.weight", "hidden", "q"),
    _layer("self_attn.q_norm.weight", "self_attention.q_layernorm.weight", "head"),
    _layer("self_attn.k_norm.weight", "self_attention.k_layernorm.weight", "head"),
    _layer("post_attention_layernorm.weight", "pre_mlp_layernorm.weight", "hidden"),
)
_ONE_LAYOUT = {
    "attention_bias": False,
    "use_sliding_window": False,
    "hidden_act": "silu",
}
_DEFAULTS = {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "head_dim": 128}

QWEN3 = Family(
    model_types=("qwen3",),
    architectures=("Qwen3ForCausalLM",),
    first=_FIRST,
    layer=(
        *_ATTENTION,
        *_gate_up(),
        _layer("mlp.down_proj.weight", "mlp.linear_fc2.weight", "hidden", "intermediate"),
    ),
    last=_LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_defaults=_DEFAULTS,
    tokenizer="tokenizer.json",
    direct=True,
    fixed=_ONE_LAYOUT,
)

_EXPERT = "model.layers.{layer}.mlp.experts.{expert}."
_EXPERT_TARGET = "decoder.layers.{layer}.mlp.experts."


def _experts() -> Tuple[Rule, ...]:
    """MindFormers keeps the experts of a layer below each other, turned, each gate beside what it gates."""
    into, out = ("expert_intermediate", "hidden"), ("hidden", "expert_intermediate")
    return (
        Rule(_EXPERT + "gate_proj.weight", _EXPERT_TARGET + "weight1", into, stacked=Stacked(0, 2)),
        Rule(_EXPERT + "up_proj.weight", _EXPERT_TARGET + "weight1", into, stacked=Stacked(1, 2)),
        Rule(_EXPERT + "down_proj.weight", _EXPERT_TARGET + "weight2", out, stacked=Stacked(0, 1)),
    )


QWEN3_MOE = Family(
    model_types=("qwen3_moe",),
    architectures=("Qwen3MoeForCausalLM",),
    first=_FIRST,
    layer=(*_ATTENTION, _layer("mlp.gate.weight", "mlp.router.weight", "experts", "hidden")),
    expert=_experts(),
    counters=(r"decoder\.layers\.\d+\.mlp\.router\.(fi_accu|expert_load)",),
    last=_LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_defaults={**_DEFAULTS, "num_experts": 128, "moe_intermediate_size": 768, "num_experts_per_tok": 8},
    tokenizer="tokenizer.json",
    direct=True,
    # every layer has experts, in all that were published
    fixed={**_ONE_LAYOUT, "decoder_sparse_step": 1, "mlp_only_layers": []},
)

GLM4 = Family(
    model_types=("glm4",),
    architectures=("Glm4ForCausalLM",),
    first=_FIRST,
    layer=(
        _layer("input_layernorm.weight", "input_layernorm.weight", "hidden"),
        *_query_key_value(),
        _layer("self_attn.q_proj.bias", "self_attention.linear_q.bias", "q_bias"),
        _layer("self_attn.k_proj.bias", "self_attention.linear_k.bias", "kv_bias"),
        _layer("self_attn.v_proj.bias", "self_attention.linear_v.bias", "kv_bias"),
        _layer("self_attn.o_proj.weight", "self_attention.linear_proj.weight", "hidden", "q"),
        _layer("post_self_attn_layernorm.weight", "post_self_attn_layernorm.weight", "hidden"),
        _layer("post_attention_layernorm.weight", "pre_mlp_layernorm.weight", "hidden"),
        _layer("mlp.gate_up_proj.weight", "mlp.linear_fc1.weight", "gate_up", "hidden"),
        _layer("mlp.down_proj.weight", "mlp.linear_fc2.weight", "hidden", "intermediate"),
        _layer("post_mlp_layernorm.weight", "post_mlp_layernorm.weight", "hidden"),
    ),
    last=_LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_defaults={"max_position_embeddings": 131072, "rms_norm_eps": 1.5625e-07, "head_dim": 128},
    tokenizer="tokenizer.json",
    direct=True,
    fixed={"hidden_act": "silu"},
    unmapped="MindFormers has this model for inference only",
)
