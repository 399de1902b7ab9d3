"""Llama 1, 2 and 3, Code Llama, TinyLlama.

Names and order of tensors as MindFormers' convert_weight.py gives them (1.2 to 1.9).
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.family import AdaptableCells, Family, Network, PublishedModel, Releases, TensorRule

_HF_LAYER = "model.layers.{layer}."


def layer_rules(*rows: Tuple[str, str, Tuple[str, ...]]) -> Tuple[TensorRule, ...]:
    """Rules of one layer from rows of a name in Hugging Face, a name in MindFormers, and a shape."""
    return tuple(TensorRule(_HF_LAYER + source, _HF_LAYER + target, shape) for source, target, shape in rows)


FEED_FORWARD = (
    ("mlp.gate_proj.weight", "feed_forward.w1.weight", ("intermediate", "hidden")),
    ("mlp.up_proj.weight", "feed_forward.w3.weight", ("intermediate", "hidden")),
    ("mlp.down_proj.weight", "feed_forward.w2.weight", ("hidden", "intermediate")),
    ("input_layernorm.weight", "attention_norm.weight", ("hidden",)),
    ("post_attention_layernorm.weight", "ffn_norm.weight", ("hidden",)),
)

CELLS = AdaptableCells(
    ".*wq|.*wk|.*wv|.*wo",
    {name: (name,) for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")},
    ("model", "layers", "attention", "feed_forward"),
)
NETWORK = Network("LlamaConfig", "LlamaForCausalLM", "llama2_7b", "LlamaTokenizer", "LlamaProcessor")

_LICENCE = "Licence to be accepted on its page."
LLAMA = Family(
    name="llama",
    title="Llama",
    trained=Releases(),
    planned=True,
    about="Llama 1, 2, 3, Code Llama",
    network=NETWORK,
    lora=CELLS,
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    first=(TensorRule("model.embed_tokens.weight", "model.tok_embeddings.embedding_weight", ("vocab", "hidden")),),
    layer=layer_rules(
        ("self_attn.q_proj.weight", "attention.wq.weight", ("hidden", "hidden")),
        ("self_attn.k_proj.weight", "attention.wk.weight", ("kv", "hidden")),
        ("self_attn.v_proj.weight", "attention.wv.weight", ("kv", "hidden")),
        ("self_attn.o_proj.weight", "attention.wo.weight", ("hidden", "hidden")),
        *FEED_FORWARD,
    ),
    last=(
        TensorRule("model.norm.weight", "model.norm_out.weight", ("hidden",)),
        TensorRule("lm_head.weight", "lm_head.weight", ("vocab", "hidden")),
    ),
    tied_target="lm_head.weight",
    tied_source="model.embed_tokens.weight",
    # Old transformers saved the rotary frequencies, which are computed.
    skipped=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
    fixed={"hidden_act": "silu"},
    config_defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    published=(
        PublishedModel("Llama 2 7B", "meta-llama/Llama-2-7b-hf", 6.74, 13.5, 4096, _LICENCE),
        PublishedModel("Llama 2 7B Chat", "meta-llama/Llama-2-7b-chat-hf", 6.74, 13.5, 4096, _LICENCE),
        PublishedModel("Llama 2 13B", "meta-llama/Llama-2-13b-hf", 13.0, 26.0, 4096, _LICENCE),
        PublishedModel("Llama 2 70B", "meta-llama/Llama-2-70b-hf", 69.0, 138.0, 4096, _LICENCE),
        PublishedModel("Code Llama 7B", "codellama/CodeLlama-7b-hf", 6.74, 13.5, 16384),
        PublishedModel(
            "TinyLlama 1.1B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1.1, 2.2, 2048, "Small: for a first try on one NPU."
        ),
    ),
)
