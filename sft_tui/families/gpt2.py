"""GPT-2, as MindFormers' convert_weight.py gives it (1.2, 1.3).

What it calls attention.beta and attention.masked_beta are causal masks that old transformers saved; its network has no
such parameter.
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.family import Family, Network, Releases, TensorRule


def _third(which: int, target: str) -> Tuple[TensorRule, TensorRule]:
    """GPT-2 keeps query, key and value side by side in one Conv1D, which is a Linear turned around."""
    source, target = "h.{layer}.attn.c_attn.", "backbone.blocks.{layer}." + target
    return (
        TensorRule(source + "weight", target + ".weight", ("hidden", "hidden"), transposed=True, part=(which, 3)),
        TensorRule(source + "bias", target + ".bias", ("hidden",), part=(which, 3)),
    )


def _block(source: str, target: str, shape: Tuple[str, ...]) -> TensorRule:
    return TensorRule("h.{layer}." + source, "backbone.blocks.{layer}." + target, shape)


GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    trained=Releases(until="1.3"),
    refused=((Releases(since="1.6"), "it no longer has this model"),),
    network=Network("GPT2Config"),
    architectures=("GPT2LMHeadModel", "GPT2Model"),
    layer=(
        _block("ln_1.weight", "layernorm1.gamma", ("hidden",)),
        _block("ln_1.bias", "layernorm1.beta", ("hidden",)),
        _block("ln_2.weight", "layernorm2.gamma", ("hidden",)),
        _block("ln_2.bias", "layernorm2.beta", ("hidden",)),
        _block("attn.c_proj.weight", "attention.projection.weight", ("hidden", "hidden")),
        _block("attn.c_proj.bias", "attention.projection.bias", ("hidden",)),
        *_third(0, "attention.dense1"),
        *_third(1, "attention.dense2"),
        *_third(2, "attention.dense3"),
        _block("mlp.c_fc.weight", "output.mapping.weight", ("hidden", "intermediate")),
        _block("mlp.c_fc.bias", "output.mapping.bias", ("intermediate",)),
        _block("mlp.c_proj.weight", "output.projection.weight", ("intermediate", "hidden")),
        _block("mlp.c_proj.bias", "output.projection.bias", ("hidden",)),
    ),
    last=(
        TensorRule("ln_f.weight", "backbone.layernorm.gamma", ("hidden",)),
        TensorRule("ln_f.bias", "backbone.layernorm.beta", ("hidden",)),
        TensorRule("wte.weight", "backbone.embedding.word_embedding.embedding_table", ("vocab", "hidden")),
        TensorRule("wpe.weight", "backbone.embedding.position_embedding.embedding_table", ("positions", "hidden")),
    ),
    tied_source="wte.weight",
    skipped=(r"h\.\d+\.attn\.(bias|masked_bias)", r"lm_head\.weight"),
    prefix="transformer.",
    aliases=("gpt",),
    config_names={
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
        "rms_norm_eps": "layer_norm_epsilon",
    },
    config_defaults={
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "tie_word_embeddings": True,
    },
    tokenizer="tokenizer.json",
)
