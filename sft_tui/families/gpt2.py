"""GPT-2, as MindFormers' convert_weight.py gives it (1.2, 1.3).

What it calls attention.beta and attention.masked_beta are causal masks that old transformers saved; its network has no
such parameter.
"""

from __future__ import annotations

from typing import Tuple

from sft_tui.families.family import (
    AdaptableCells,
    Family,
    Network,
    OfModel,
    PublishedModel,
    Releases,
    TensorRule,
)


def _third(which: int, target: str) -> Tuple[TensorRule, TensorRule]:
    """GPT-2 keeps query, key and value side by side in one Conv1D, which is a Linear turned around."""
    source, target = "h.{layer}.attn.c_attn.", "backbone.blocks.{layer}." + target
    return (
        TensorRule(source + "weight", target + ".weight", ("hidden", "hidden"), transposed=True, part=(which, 3)),
        TensorRule(source + "bias", target + ".bias", ("hidden",), part=(which, 3)),
    )


def _block(source: str, target: str, shape: Tuple[str, ...]) -> TensorRule:
    return TensorRule("h.{layer}." + source, "backbone.blocks.{layer}." + target, shape)


_END = "<|endoftext|>"
_OLD = "MindFormers 1.3 trains it."
NETWORK = Network(
    "GPT2Config",
    "LabelledGPT2LMHeadModel",
    "gpt2",
    "GPT2Tokenizer",
    "GPT2Processor",
    own=True,
    lacks=(
        "n_kv_heads", "intermediate_size", "rms_norm_eps", "theta", "ignore_token_id", "rotary_dtype", "extend_method",
        "fused_rms_norm", "use_rope_slice",
    ),
    words={
        # the table of positions has as many rows, and the checkpoint too: MindFormers' own files say 2048
        "max_position_embeddings": OfModel("max_position_embeddings"),
        "expand_ratio": OfModel("intermediate_size", divided_by="hidden_size"),
        # their fast_gelu is another function; this is what transformers calls gelu_new
        "hidden_act": "gelu",
        # hard-wired there, whatever is written
        "compute_dtype": "float16",
        "pad_token_id": OfModel("eos_token_id"),
        "hidden_dropout_rate": OfModel("dropout"),
        "attention_dropout_rate": OfModel("attention_dropout"),
        # in none of MindFormers' files, and 0.1 where it is left out
        "embedding_dropout_prob": OfModel("embedding_dropout"),
    },
    tokenizer_files={"vocab_file": "vocab.json", "merges_file": "merges.txt"},
    tokens={"unk_token": _END, "bos_token": _END, "eos_token": _END, "pad_token": _END},
    # its float16 is hard-wired; with the 2**32 of MindFormers' own files 13 of the first 16 steps overflow
    loss_scale=4096,
)  # fmt: skip
CELLS = AdaptableCells(
    ".*dense1|.*dense2|.*dense3",
    {"dense1": ("wq",), "dense2": ("wk",), "dense3": ("wv",)},
    ("backbone", "blocks", "attention", "output"),
    # kept the other way round than those above; what MindFormers adapts of them was not tried
    not_merged=("projection", "mapping"),
)

GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    trained=Releases(until="1.3"),
    refused=((Releases(since="1.6"), "it no longer has this model"),),
    planned=True,
    about="with MindFormers 1.3",
    network=NETWORK,
    lora=CELLS,
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
    gated=False,
    tied_source="wte.weight",
    skipped=(r"h\.\d+\.attn\.(bias|masked_bias)", r"lm_head\.weight"),
    not_loaded=(r"backbone\.blocks\.\d+\.attention\.(beta|masked_beta)",),
    prefix="transformer.",
    aliases=("gpt",),
    config_names={
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
        "rms_norm_eps": "layer_norm_epsilon",
        "dropout": "resid_pdrop",
        "attention_dropout": "attn_pdrop",
        "embedding_dropout": "embd_pdrop",
    },
    config_defaults={
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "tie_word_embeddings": True,
        "resid_pdrop": 0.1,
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
    },
    # MindFormers has no other: another function, scale or epsilon is another model
    fixed={
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    tokenizer="tokenizer.json",
    text_layout="passages",
    published=(
        PublishedModel("GPT-2 (124M)", "openai-community/gpt2", 0.124, 0.55, 1024, _OLD),
        PublishedModel("GPT-2 Medium", "openai-community/gpt2-medium", 0.355, 1.52, 1024, _OLD),
        PublishedModel("GPT-2 Large", "openai-community/gpt2-large", 0.774, 3.25, 1024, _OLD),
        PublishedModel("GPT-2 XL", "openai-community/gpt2-xl", 1.558, 6.43, 1024, _OLD),
    ),
)
