"""GLM-4: its folder is known; no known MindFormers trains it.

finetune_glm4_9b.yaml is for the GLM-4 before it, whose model_type is chatglm.
"""

from __future__ import annotations

from sft_tui.families.direct_layers import FIRST, INFERS, LAST, OLDER, layer_rule, query_key_value
from sft_tui.families.family import Family, Releases

GLM4 = Family(
    name="glm4",
    title="GLM-4",
    refused=(
        (Releases(until="1.3"), OLDER),
        (Releases(since="1.6", until="1.6"), "it has only the GLM-4 before it (model_type chatglm)"),
        (Releases(since="1.7"), INFERS),
    ),
    direct=True,
    architectures=("Glm4ForCausalLM",),
    first=FIRST,
    layer=(
        layer_rule("input_layernorm.weight", "input_layernorm.weight", "hidden"),
        *query_key_value(),
        layer_rule("self_attn.q_proj.bias", "self_attention.linear_q.bias", "q_bias"),
        layer_rule("self_attn.k_proj.bias", "self_attention.linear_k.bias", "kv_bias"),
        layer_rule("self_attn.v_proj.bias", "self_attention.linear_v.bias", "kv_bias"),
        layer_rule("self_attn.o_proj.weight", "self_attention.linear_proj.weight", "hidden", "q"),
        layer_rule("post_self_attn_layernorm.weight", "post_self_attn_layernorm.weight", "hidden"),
        layer_rule("post_attention_layernorm.weight", "pre_mlp_layernorm.weight", "hidden"),
        layer_rule("mlp.gate_up_proj.weight", "mlp.linear_fc1.weight", "gate_up", "hidden"),
        layer_rule("mlp.down_proj.weight", "mlp.linear_fc2.weight", "hidden", "intermediate"),
        layer_rule("post_mlp_layernorm.weight", "post_mlp_layernorm.weight", "hidden"),
    ),
    last=LAST,
    tied_target="output_layer.weight",
    tied_source="model.embed_tokens.weight",
    config_defaults={"max_position_embeddings": 131072, "rms_norm_eps": 1.5625e-07, "head_dim": 128},
    tokenizer="tokenizer.json",
    fixed={"hidden_act": "silu"},
    unmapped="MindFormers has this model for inference only",
)
