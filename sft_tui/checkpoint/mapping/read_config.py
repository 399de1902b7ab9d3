"""Reads config.json of a Hugging Face checkpoint into the facts that converting and training need."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, Optional

from sft_tui.checkpoint.formats.source_file import load_json_object
from sft_tui.core.model_config import LowRankAttention, ModelConfig
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Family
from sft_tui.families.table import KEY_MAPS, family_of, find_family_name

CONFIG_NAME = "config.json"
# other words for the same function
_SAME_WORDS: Mapping[str, object] = {"swish": "silu", "gelu_pytorch_tanh": "gelu_new"}
MAX_DIMENSION = 2**31 - 1
DROPOUTS = ("dropout", "attention_dropout", "embedding_dropout")


class UnknownFamilyError(InvalidInputError):
    """The config is of a model that is not converted here."""


def load_model_config(folder: Path) -> ModelConfig:
    """The config of a checkpoint folder; raises InvalidInputError with everything that is wrong with it."""
    path = folder / CONFIG_NAME
    return parse_model_config(load_json_object(path), str(path))


def load_config_of_family(folder: Path, family: str) -> ModelConfig:
    """The config, if it is of that family (a name or an alias). Raises InvalidInputError otherwise."""
    config, wanted = load_model_config(folder), find_family_name(family)
    if config.family != wanted:
        raise InvalidInputError(
            f"{folder / CONFIG_NAME} is of family {config.family}, not {wanted}.",
            f"Choose the family {config.family} (--model {config.family}).",
        )
    return config


def parse_model_config(data: Mapping[str, object], where: str) -> ModelConfig:
    """Text of config.json to facts; what is left out has the default of transformers' config of that family.

    Raises InvalidInputError that begins with `where` and lists every missing or wrong field at once.
    """
    family = family_of(data)
    words = KEY_MAPS[family] if family else KEY_MAPS["llama"]
    given = {key: value for key, value in data.items() if value is not None}
    fields = _Fields({**words.config_defaults, **given}, names=words.config_names)
    if family is None:
        kind = data.get("model_type") or data.get("architectures")
        fields.wrong.append(f"model_type {str(kind)[:80]!r} is not a known family ({', '.join(sorted(KEY_MAPS))})")
    heads = fields.positive("num_attention_heads")
    hidden = fields.positive("hidden_size")
    rope = fields.optional_object("rope_parameters")  # transformers 5 keeps rope_theta and the scaling in there
    scaling = scaling_of(fields.optional_object("rope_scaling")) or scaling_of(rope)
    old_theta = fields.positive_number("rope_theta", 10000.0)
    config = ModelConfig(
        family=family or "",
        hidden_size=hidden,
        num_layers=fields.positive("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=fields.positive("num_key_value_heads", heads),
        # GPT-2's config leaves n_inner out, or null
        intermediate_size=fields.positive("intermediate_size", 4 * hidden if words.config_names else None),
        vocab_size=fields.positive("vocab_size"),
        max_position_embeddings=fields.positive("max_position_embeddings"),
        rms_norm_eps=fields.positive_number("rms_norm_eps", 1e-6),
        rope_theta=_Fields(rope, fields.wrong).positive_number("rope_theta", old_theta),
        rope_scaling=scaling,
        tied=fields.flag("tie_word_embeddings"),
        torch_dtype=fields.text("torch_dtype") or fields.text("dtype"),
        bos_token_id=fields.token("bos_token_id"),
        eos_token_id=fields.token("eos_token_id"),
        pad_token_id=fields.token("pad_token_id"),
        architectures=fields.texts("architectures"),
        head_dim=_head_dim(fields, words, hidden, heads),
        attention_bias=fields.flag("attention_bias"),
        num_experts=fields.positive("num_experts") if words.expert else 0,
        moe_intermediate_size=fields.positive("moe_intermediate_size") if words.expert else 0,
        experts_per_token=fields.positive("num_experts_per_tok") if words.expert else 0,
        qk_norms=any("q_norm" in rule.source for rule in words.layer),
        low_rank=_low_rank(fields) if words.low_rank_attention else None,
        dense_layers=fields.count("first_k_dense_replace") if words.expert else 0,
        shared_experts=fields.count("n_shared_experts") if words.expert else 0,
        layers_ahead=fields.count("num_nextn_predict_layers") if words.expert else 0,
        **{name: fields.share(name) for name in DROPOUTS if name in words.config_names},
    )
    if not words.tied_target and not config.tied:
        fields.wrong.append("tie_word_embeddings is false, but MindFormers has no output layer for this family")
    _check_heads(config, words, data, fields.wrong)
    _check_fixed(words, given, fields.wrong)
    if fields.wrong:
        kind_of_error = InvalidInputError if family else UnknownFamilyError
        raise kind_of_error(
            f"{where} cannot be used: {'; '.join(fields.wrong)}.",
            "Take config.json from the same place as the weights.",
        )
    return config


def _head_dim(fields: _Fields, words: Family, hidden: int, heads: int) -> int:
    if words.low_rank_attention:
        return fields.positive("qk_nope_head_dim") + fields.positive("qk_rope_head_dim")
    usual = hidden // heads if heads else 0
    return fields.positive("head_dim", usual) if words.direct else usual


def _low_rank(fields: _Fields) -> LowRankAttention:
    names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    return LowRankAttention(*(fields.positive(name) for name in names))


def dimensions_of(config: ModelConfig) -> Dict[str, int]:
    """The sizes, in elements, that the shapes of a family's key map name."""
    head = config.head_dim or config.hidden_size // config.num_heads
    q, kv = head * config.num_heads, head * config.num_kv_heads
    return {
        "hidden": config.hidden_size,
        "q": q,
        "kv": kv,
        "q_bias": q if config.attention_bias else 0,
        "kv_bias": kv if config.attention_bias else 0,
        "head": head,
        "q_group": q // config.num_kv_heads,  # the queries that share a head of keys
        "one": 1,
        "intermediate": config.intermediate_size,
        "qkv": q + 2 * kv,
        "gate_up": 2 * config.intermediate_size,
        **_low_rank_dimensions(config),
        "experts": config.num_experts,
        "shared_intermediate": config.shared_experts * config.moe_intermediate_size,
        "expert_intermediate": config.moe_intermediate_size,
        "vocab": config.vocab_size,
        "positions": config.max_position_embeddings,
    }


def _low_rank_dimensions(config: ModelConfig) -> Dict[str, int]:
    sizes = config.low_rank
    if sizes is None:
        return {}
    return {
        "q_rank": sizes.q_rank,
        "kv_rank": sizes.kv_rank,
        "kv_rank_and_rope": sizes.kv_rank + sizes.rotated,
        "keys_and_values": config.num_heads * (sizes.not_rotated + sizes.value),
        "values": config.num_heads * sizes.value,
        "two_hidden": 2 * config.hidden_size,
    }


def scaling_of(rope: Optional[Dict[str, object]]) -> Optional[Dict[str, object]]:
    """What scales the positions; None where it is no scaling: by name, or by a factor of one."""
    kind = rope.get("rope_type", rope.get("type", "default")) if rope else "default"
    if not rope or kind == "default" or (kind in ("linear", "dynamic", "ntk") and rope.get("factor") == 1):
        return None
    return {key: value for key, value in rope.items() if key != "rope_theta"}


def _check_fixed(words: Family, given: Mapping[str, object], wrong: List[str]) -> None:
    """A model that is built in another way than all of its family that are known."""
    for name, value in words.fixed.items():
        if name in given and _SAME_WORDS.get(str(given[name]), given[name]) != value:
            wrong.append(f"{name} is {str(given[name])[:40]}: MindFormers has {words.title} with {value} alone")
    layers = given.get("layer_types")
    if words.direct and isinstance(layers, list) and any(kind != "full_attention" for kind in layers):
        other = next(str(kind)[:40] for kind in layers if kind != "full_attention")
        wrong.append(f"layer_types has {other!r}: MindFormers trains full attention only")


def _check_heads(config: ModelConfig, words: Family, data: Mapping[str, object], wrong: List[str]) -> None:
    if wrong:
        return  # the sums below would only repeat what is wrong already
    if config.hidden_size % config.num_heads and not words.direct:
        wrong.append(
            f"hidden_size {config.hidden_size} is no multiple of num_attention_heads {config.num_heads}",
        )
    elif not words.gated and config.intermediate_size % config.hidden_size:
        wrong.append(f"n_inner {config.intermediate_size} is no multiple of n_embd {config.hidden_size}")
    elif config.num_heads % config.num_kv_heads:
        wrong.append(
            f"num_attention_heads {config.num_heads} is no multiple of num_key_value_heads {config.num_kv_heads}"
        )
    head_dim = data.get("head_dim")
    if head_dim is not None and not wrong and not words.direct and head_dim != config.hidden_size // config.num_heads:
        # MindFormers' Llama has no other head size.
        wrong.append(f"head_dim {str(head_dim)[:40]} is not hidden_size / num_attention_heads")


class _Fields:
    """Takes typed values out of a JSON object and collects what is wrong with them."""

    def __init__(
        self,
        data: Optional[Mapping[str, object]],
        wrong: Optional[List[str]] = None,
        names: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.data = data or {}
        self.wrong: List[str] = [] if wrong is None else wrong
        self.names = names or {}

    def _find(self, name: str) -> object:
        """The value of a field of Llama's config, from where this family has it."""
        value = self.data.get(self.names.get(name, name))
        return self.data.get(name) if value is None else value

    def _refuse(self, name: str, what: str) -> None:
        self.wrong.append(f"{self.names.get(name, name)} is {str(self._find(name))[:60]!r}, not {what}")

    def positive(self, name: str, default: Optional[int] = None) -> int:
        value = self._find(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.wrong.append(f"{self.names.get(name, name)} is missing")
        elif type(value) is int and 0 < value <= MAX_DIMENSION:
            return value
        else:
            self._refuse(name, "a positive integer")
        return 0

    def count(self, name: str) -> int:
        """A number from 0 on; 0 where it is left out."""
        value = self._find(name)
        return 0 if value in (None, 0) and not isinstance(value, bool) else self.positive(name)

    def positive_number(self, name: str, default: float) -> float:
        value = self._find(name)
        if value is None:
            return default
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e30:
            return float(value)
        self._refuse(name, "a positive number")
        return default

    def share(self, name: str) -> float:
        value = self._find(name)
        if value is None:
            return 0.0
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
            return float(value)
        self._refuse(name, "a probability from 0 to below 1")
        return 0.0

    def flag(self, name: str) -> bool:
        value = self._find(name)
        if value is not None and not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value is True

    def text(self, name: str) -> str:
        value = self._find(name)
        if value is not None and not isinstance(value, str):
            self._refuse(name, "a text")
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._find(name)
        items = value if isinstance(value, list) else []
        if value is not None and (not isinstance(value, list) or not all(isinstance(item, str) for item in items)):
            self._refuse(name, "a list of texts")
            return ()
        return tuple(items)

    def optional_object(self, name: str) -> Optional[Dict[str, object]]:
        value = self._find(name)
        if value is not None and not isinstance(value, dict):
            self._refuse(name, "an object")
        return value if isinstance(value, dict) else None

    def token(self, name: str) -> Optional[int]:
        """A token id; of a list (Llama 3 has several end tokens) the first. -1 means that there is none."""
        value = self._find(name)
        if isinstance(value, list) and value:
            value = value[0]
        if value is None:
            return None
        if type(value) is int and -1 <= value <= MAX_DIMENSION:
            return value if value >= 0 else None
        self._refuse(name, "a token id")
        return None
