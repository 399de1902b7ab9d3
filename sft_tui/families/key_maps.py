"""The model families as data: how each tensor is called in Hugging Face and in MindFormers, its shape and layout.

A new family is one more `Family` in `FAMILIES` and one golden file in the tests; no code elsewhere changes.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.families.direct import GLM4, QWEN3, QWEN3_MOE
from sft_tui.families.family import Family, Rule

_HF_LAYER = "model.layers.{layer}."


def _layer_rules(*rows: Tuple[str, str, Tuple[str, ...]]) -> Tuple[Rule, ...]:
    return tuple(Rule(_HF_LAYER + source, _HF_LAYER + target, shape) for source, target, shape in rows)


_FEED_FORWARD = (
    ("mlp.gate_proj.weight", "feed_forward.w1.weight", ("intermediate", "hidden")),
    ("mlp.up_proj.weight", "feed_forward.w3.weight", ("intermediate", "hidden")),
    ("mlp.down_proj.weight", "feed_forward.w2.weight", ("hidden", "intermediate")),
    ("input_layernorm.weight", "attention_norm.weight", ("hidden",)),
    ("post_attention_layernorm.weight", "ffn_norm.weight", ("hidden",)),
)

# Names and order as MindFormers' convert_weight.py for Llama gives them (1.2 to 1.9).
_LLAMA = Family(
    model_types=("llama",),
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    first=(Rule("model.embed_tokens.weight", "model.tok_embeddings.embedding_weight", ("vocab", "hidden")),),
    layer=_layer_rules(
        ("self_attn.q_proj.weight", "attention.wq.weight", ("hidden", "hidden")),
        ("self_attn.k_proj.weight", "attention.wk.weight", ("kv", "hidden")),
        ("self_attn.v_proj.weight", "attention.wv.weight", ("kv", "hidden")),
        ("self_attn.o_proj.weight", "attention.wo.weight", ("hidden", "hidden")),
        *_FEED_FORWARD,
    ),
    last=(
        Rule("model.norm.weight", "model.norm_out.weight", ("hidden",)),
        Rule("lm_head.weight", "lm_head.weight", ("vocab", "hidden")),
    ),
    tied_target="lm_head.weight",
    tied_source="model.embed_tokens.weight",
    # Old transformers saved the rotary frequencies, which are computed.
    skipped=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
    config_defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
)

# As MindFormers' research/qwen2 (1.3) and research/qwen2_5 (1.6 to 1.9) give them; 1.2 left out a tied lm_head.weight.
_QWEN2 = Family(
    model_types=("qwen2",),
    architectures=("Qwen2ForCausalLM",),
    first=_LLAMA.first,
    layer=_layer_rules(
        ("self_attn.q_proj.weight", "attention.wq.weight", ("hidden", "hidden")),
        ("self_attn.q_proj.bias", "attention.wq.bias", ("hidden",)),
        ("self_attn.k_proj.weight", "attention.wk.weight", ("kv", "hidden")),
        ("self_attn.k_proj.bias", "attention.wk.bias", ("kv",)),
        ("self_attn.v_proj.weight", "attention.wv.weight", ("kv", "hidden")),
        ("self_attn.v_proj.bias", "attention.wv.bias", ("kv",)),
        ("self_attn.o_proj.weight", "attention.wo.weight", ("hidden", "hidden")),
        *_FEED_FORWARD,
    ),
    last=_LLAMA.last,
    tied_target=_LLAMA.tied_target,
    tied_source=_LLAMA.tied_source,
    skipped=_LLAMA.skipped,
    aliases=("qwen2_5",),
    config_defaults={"max_position_embeddings": 32768, "rms_norm_eps": 1e-6},
    tokenizer="tokenizer.json",
)


def _third(which: int, target: str) -> Tuple[Rule, Rule]:
    """GPT-2 keeps query, key and value side by side in one Conv1D, which is a Linear turned around."""
    source, target = "h.{layer}.attn.c_attn.", "backbone.blocks.{layer}." + target
    return (
        Rule(source + "weight", target + ".weight", ("hidden", "hidden"), transposed=True, part=(which, 3)),
        Rule(source + "bias", target + ".bias", ("hidden",), part=(which, 3)),
    )


def _block(source: str, target: str, shape: Tuple[str, ...]) -> Rule:
    return Rule("h.{layer}." + source, "backbone.blocks.{layer}." + target, shape)


# As MindFormers' convert_weight.py for GPT-2 gives them (1.2, 1.3). What it calls attention.beta and
# attention.masked_beta are causal masks that old transformers saved; its network has no such parameter.
_GPT2 = Family(
    model_types=("gpt2",),
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
        Rule("ln_f.weight", "backbone.layernorm.gamma", ("hidden",)),
        Rule("ln_f.bias", "backbone.layernorm.beta", ("hidden",)),
        Rule("wte.weight", "backbone.embedding.word_embedding.embedding_table", ("vocab", "hidden")),
        Rule("wpe.weight", "backbone.embedding.position_embedding.embedding_table", ("positions", "hidden")),
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

FAMILIES: Dict[str, Family] = {
    "llama": _LLAMA,
    "qwen2": _QWEN2,
    "gpt2": _GPT2,
    "qwen3": QWEN3,
    "qwen3_moe": QWEN3_MOE,
    "glm4": GLM4,
}


def find_family_name(word: str) -> str:
    """The name of a family from its name or an alias; raises InvalidInputError naming those there are."""
    for name, family in FAMILIES.items():
        if word == name or word in family.aliases:
            return name
    raise InvalidInputError(f"{word!r} is not a known model family.", f"Known: {', '.join(sorted(FAMILIES))}.")


def find_family(word: str) -> Family:
    """The family of that name or alias; raises InvalidInputError naming those there are."""
    return FAMILIES[find_family_name(word)]


def family_of(config: Mapping[str, object]) -> Optional[str]:
    """The name of the family that a Hugging Face config.json speaks of, or None. model_type decides, if it is there."""
    model_type, architectures = config.get("model_type"), config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    for name, family in FAMILIES.items():
        if model_type in family.model_types:
            return name
        if model_type is None and any(item in family.architectures for item in named):
            return name
    return None
