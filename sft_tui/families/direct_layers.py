"""What the families of the direct route share: names, shapes and layouts of their tensors, and cells for LoRA.

`target` are the names in the safetensors that training saves, as `weight_mapping` and `convert_weight_dict` of
MindFormers 1.7 and `weight_converters` of 1.9 make them.
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.family import AdaptableCells, Fused, TensorRule

OLDER, INFERS = "it is older than the model", "it has this model for inference only"
LOADED_AS_IT_IS = "Loaded as it is by MindFormers 1.7 and later."
# MindFormers has this pattern in configs/qwen3/README.md, with the rest of the layer
CELLS = AdaptableCells(
    ".*linear_qkv|.*linear_proj",
    {
        "linear_qkv": ("wq", "wk", "wv"),
        "linear_proj": ("wo",),
        "linear_fc1": ("w1", "w3"),
        "linear_fc2": ("w2",),
    },
    ("model", "decoder", "layers", "self_attention", "mlp"),
)
_QKV = ".self_attention.linear_qkv.weight"
_FC1 = ".mlp.linear_fc1.weight"


def layer_rule(source: str, target: str, *shape: str) -> TensorRule:
    """A rule of one layer: its name below `model.layers.N` and below `decoder.layers.N`, and its shape."""
    return TensorRule("model.layers.{layer}." + source, "decoder.layers.{layer}." + target, shape)


def query_key_value() -> Tuple[TensorRule, ...]:
    """MindFormers keeps, for each head of keys, its queries, its keys and its values one after the other."""
    names = (("q_proj", "q"), ("k_proj", "kv"), ("v_proj", "kv"))
    return tuple(
        TensorRule(
            f"model.layers.{{layer}}.self_attn.{name}.weight",
            "decoder.layers.{layer}" + _QKV,
            (rows, "hidden"),
            fused=Fused(which, ("q_group", "head", "head"), ("q", "kv", "kv")),
        )
        for which, (name, rows) in enumerate(names)
    )


def gate_up() -> Tuple[TensorRule, ...]:
    """MindFormers keeps a row of the gate and a row of what it gates in turn."""
    return tuple(
        TensorRule(
            f"model.layers.{{layer}}.mlp.{name}.weight",
            "decoder.layers.{layer}" + _FC1,
            ("intermediate", "hidden"),
            fused=Fused(which, ("one", "one"), ("intermediate", "intermediate")),
        )
        for which, name in enumerate(("gate_proj", "up_proj"))
    )


FIRST = (TensorRule("model.embed_tokens.weight", "embedding.word_embeddings.weight", ("vocab", "hidden")),)
LAST = (
    TensorRule("model.norm.weight", "decoder.final_layernorm.weight", ("hidden",)),
    TensorRule("lm_head.weight", "output_layer.weight", ("vocab", "hidden")),
)
ATTENTION = (
    layer_rule("input_layernorm.weight", "input_layernorm.weight", "hidden"),
    *query_key_value(),
    layer_rule("self_attn.o_proj.weight", "self_attention.linear_proj.weight", "hidden", "q"),
    layer_rule("self_attn.q_norm.weight", "self_attention.q_layernorm.weight", "head"),
    layer_rule("self_attn.k_norm.weight", "self_attention.k_layernorm.weight", "head"),
    layer_rule("post_attention_layernorm.weight", "pre_mlp_layernorm.weight", "hidden"),
)
ONE_LAYOUT = {
    "attention_bias": False,
    "use_sliding_window": False,
    "hidden_act": "silu",
}
DEFAULTS = {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "head_dim": 128}
