"""The model families as data: how each tensor is called in Hugging Face and in MindFormers, and its shape.

A new family is one more `Family` in `FAMILIES` and one golden file in the tests; no code below the table changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from sft_tui.checkpoint.safetensors_header import TensorEntry
from sft_tui.errors import InvalidInputError


@dataclass(frozen=True)
class Rule:
    """One tensor of a family: its two names and the names of its dimensions (values: `dimensions_of`)."""

    source: str
    target: str
    shape: Tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """How a family's checkpoint looks on both sides.

    The parameters are written in the order `first`, `layer` for each layer, `last`. `tied_source` is what the output
    layer `tied_target` is a copy of when the config ties them. `skipped` matches tensors that are no parameters.
    """

    model_types: Tuple[str, ...]
    architectures: Tuple[str, ...]
    first: Tuple[Rule, ...]
    layer: Tuple[Rule, ...]
    last: Tuple[Rule, ...]
    tied_target: str
    tied_source: str
    skipped: Tuple[str, ...] = ()


_HF_LAYER = "model.layers.{layer}."

# Names and order as MindFormers' convert_weight.py for Llama gives them (1.2 to 1.9).
_LLAMA = Family(
    model_types=("llama",),
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    first=(Rule("model.embed_tokens.weight", "model.tok_embeddings.embedding_weight", ("vocab", "hidden")),),
    layer=tuple(
        Rule(_HF_LAYER + source, _HF_LAYER + target, shape)
        for source, target, shape in (
            ("self_attn.q_proj.weight", "attention.wq.weight", ("hidden", "hidden")),
            ("self_attn.k_proj.weight", "attention.wk.weight", ("kv", "hidden")),
            ("self_attn.v_proj.weight", "attention.wv.weight", ("kv", "hidden")),
            ("self_attn.o_proj.weight", "attention.wo.weight", ("hidden", "hidden")),
            ("mlp.gate_proj.weight", "feed_forward.w1.weight", ("intermediate", "hidden")),
            ("mlp.up_proj.weight", "feed_forward.w3.weight", ("intermediate", "hidden")),
            ("mlp.down_proj.weight", "feed_forward.w2.weight", ("hidden", "intermediate")),
            ("input_layernorm.weight", "attention_norm.weight", ("hidden",)),
            ("post_attention_layernorm.weight", "ffn_norm.weight", ("hidden",)),
        )
    ),
    last=(
        Rule("model.norm.weight", "model.norm_out.weight", ("hidden",)),
        Rule("lm_head.weight", "lm_head.weight", ("vocab", "hidden")),
    ),
    tied_target="lm_head.weight",
    tied_source="model.embed_tokens.weight",
    # Old transformers saved the rotary frequencies, which are computed.
    skipped=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
)

FAMILIES: Dict[str, Family] = {"llama": _LLAMA}


@dataclass(frozen=True)
class Parameter:
    """One parameter that a config calls for: name to write, name to read, shape."""

    name: str
    source: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class MappedTensor:
    """A parameter and where its values are. Two parameters may share an entry (tied embeddings)."""

    name: str
    entry: TensorEntry


@dataclass(frozen=True)
class TensorMap:
    """What a checkpoint holds against what its config calls for; `complaints` is empty when all fits."""

    tensors: Tuple[MappedTensor, ...]
    complaints: Tuple[str, ...]


def find_family(name: str) -> Family:
    """The family of that name; raises InvalidInputError naming those there are."""
    if name not in FAMILIES:
        raise InvalidInputError(f"{name!r} is not a known model family.", f"Known: {', '.join(sorted(FAMILIES))}.")
    return FAMILIES[name]


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


def expected_parameters(
    family: Family, *, num_layers: int, tied: bool, dimensions: Mapping[str, int]
) -> List[Parameter]:
    """Every parameter of such a model, in the order in which it is written."""
    placed = [(rule, 0) for rule in family.first]
    placed += [(rule, layer) for layer in range(num_layers) for rule in family.layer]
    placed += [(rule, 0) for rule in family.last]
    parameters = []
    for rule, layer in placed:
        source = family.tied_source if tied and rule.target == family.tied_target else rule.source
        shape = tuple(dimensions[dimension] for dimension in rule.shape)
        parameters.append(Parameter(rule.target.format(layer=layer), source.format(layer=layer), shape))
    return parameters


def map_tensors(family: Family, parameters: Sequence[Parameter], entries: Sequence[TensorEntry]) -> TensorMap:
    """Bring parameters and tensors together: missing, unknown and wrongly shaped ones become complaints by name."""
    by_name = {entry.name: entry for entry in entries}
    tensors, complaints = [], []
    for parameter in parameters:
        entry = by_name.get(parameter.source)
        if entry is None:
            complaints.append(f"tensor {parameter.source!r} is missing")
            continue
        if entry.shape != parameter.shape:
            complaints.append(
                f"tensor {entry.name!r} in {entry.file.name} has the shape {list(entry.shape)}, "
                f"config.json calls for {list(parameter.shape)}"
            )
        tensors.append(MappedTensor(parameter.name, entry))
    # A tied model may still carry its output layer; transformers takes the embeddings, and so do we.
    known = {parameter.source for parameter in parameters} | {rule.source for rule in family.first + family.last}
    complaints += [
        f"tensor {entry.name!r} in {entry.file.name} is unknown to this model"
        for entry in entries
        if entry.name not in known and not _is_skipped(family, entry.name)
    ]
    return TensorMap(tuple(tensors), tuple(complaints))


def _is_skipped(family: Family, name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in family.skipped)
