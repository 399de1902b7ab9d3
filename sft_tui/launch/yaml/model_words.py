"""Reads from the model_config of a base YAML what names and shapes of a checkpoint do not tell, and compares the rest.

What a key is that is left out is MindFormers' own default (LlamaConfig of 1.2 to 1.9, GPT2Config of 1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from sft_tui.core.model_config import ModelConfig
from sft_tui.families.family import Family, Network, OfModel

# the key of model_config, and the field of ModelConfig that it gives
_KEYS = {
    "num_heads": "num_heads",
    "rms_norm_eps": "rms_norm_eps",
    "theta": "rope_theta",
    "max_position_embedding": "max_position_embeddings",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "pad_token_id",
}
_REQUIRED = ("num_heads", "rms_norm_eps")  # no default is taken: with another number it is another model
_THETA = 10000.0
_MULTIPLE_OF = 256
_FUNCTIONS = ("hidden_act",)


@dataclass(frozen=True)
class ModelWords:
    """What a YAML says of a model: `values` by the field of ModelConfig, what is `missing` and `wrong` by its key."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def unseen_keys(family: Family, network: Network, seen: frozenset[str]) -> dict[str, str]:
    """Keys of model_config that no shape tells, with their field of ModelConfig; `seen`: fields that shapes tell."""
    keys = {key: name for key, name in _KEYS.items() if key not in network.lacks and key not in network.words}
    for key, word in network.words.items():
        if key not in _KEYS and isinstance(word, OfModel) and not word.divided_by:
            keys[key] = word.name
    return {key: name for key, name in keys.items() if name not in seen}


def model_section(base: Mapping[str, Any]) -> Mapping[str, Any]:
    """model.model_config of a YAML; empty where there is none."""
    found: Any = base.get("model")
    found = found.get("model_config") if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def read_words(base: Mapping[str, Any], family: Family, network: Network, seen: frozenset[str]) -> ModelWords:
    """What the YAML says that shapes do not, defaults filled in."""
    section = model_section(base)
    values: dict[str, Any] = {}
    missing, wrong = list[str](), list[str]()
    for key, name in unseen_keys(family, network, seen).items():
        value = section.get(key)
        if name == "max_position_embeddings" and value is None:
            value = section.get("max_position_embeddings", section.get("seq_length"))
        if value is None and key in _REQUIRED:
            missing.append(key)
            continue
        if value is None:
            value = _default(family, name)
        if isinstance(value, list) and value and name.endswith("_token_id"):
            value = value[0]
        if value is None and name == "max_position_embeddings":
            missing.append("seq_length")
        elif value is not None and not _allowed(name)(value):
            wrong.append(f"{key} is {str(value)[:40]!r}")
        values[name] = value
    return ModelWords(values, tuple(missing), tuple(wrong))


def _default(family: Family, name: str) -> Optional[object]:
    if name == "rope_theta":
        return _THETA
    if name == "max_position_embeddings":
        return None
    return family.config_defaults.get(family.config_names.get(name, name))


def _allowed(name: str) -> Callable[[Any], bool]:
    def count(value: Any) -> bool:  # noqa: ANN401 - whatever a YAML holds
        return type(value) is int and value > 0

    def token(value: Any) -> bool:  # noqa: ANN401
        return type(value) is int and value >= 0

    def number(value: Any) -> bool:  # noqa: ANN401
        return type(value) in (int, float) and value > 0

    def share(value: Any) -> bool:  # noqa: ANN401
        return type(value) in (int, float) and 0 <= value < 1

    if name.endswith("_token_id"):
        return token
    if name.endswith("dropout"):
        return share
    return number if name in ("rms_norm_eps", "rope_theta") else count


@dataclass(frozen=True)
class Contradiction:
    """A key of model_config, what the YAML gives it, and what the checkpoint has."""

    key: str
    said: object
    found: object
    computed: bool = False  # the YAML leaves it out; MindFormers computes it from others

    @property
    def text(self) -> str:
        """For people."""
        said = f"{self.said} by MindFormers' rule" if self.computed else str(self.said)[:40]
        return f"{self.key} is {said}, the checkpoint has {self.found}"


def find_contradictions(base: Mapping[str, Any], network: Network, model: ModelConfig) -> list[Contradiction]:
    """Where the YAML is of a model of another kind or size."""
    section = model_section(base)
    found = []
    for key, has in (
        ("type", network.config_class),
        ("hidden_size", model.hidden_size),
        ("num_layers", model.num_layers),
        ("vocab_size", model.vocab_size),
        ("num_heads", model.num_heads),
    ):
        if key in section and section[key] != has:
            found.append(Contradiction(key, section[key], has))
    if "n_kv_heads" not in network.lacks:
        said = section.get("n_kv_heads")
        # left out, each head has its own
        said, computed = (section.get("num_heads", model.num_kv_heads), True) if said is None else (said, False)
        if said != model.num_kv_heads:
            found.append(Contradiction("n_kv_heads", said, model.num_kv_heads, computed))
    found += _of_feed_forward(section, network, model)
    if section.get("qkv_concat") is True:
        found.append(Contradiction("qkv_concat", True, "each matrix by itself"))
    return found


def _of_feed_forward(section: Mapping[str, Any], network: Network, model: ModelConfig) -> list[Contradiction]:
    ratio = next((k for k, w in network.words.items() if isinstance(w, OfModel) and w.divided_by), "")
    if ratio:
        said, has = section.get(ratio), model.intermediate_size / model.hidden_size
        return [] if said is None or said == has else [Contradiction(ratio, said, f"{has:g}")]
    said = section.get("intermediate_size")
    computed = said is None
    if computed and section:
        said = feed_forward_size(model.hidden_size, section.get("multiple_of"), section.get("ffn_dim_multiplier"))
    if said is None or said == model.intermediate_size:
        return []
    return [Contradiction("intermediate_size", said, model.intermediate_size, computed)]


def feed_forward_size(hidden: int, multiple_of: object = None, multiplier: object = None) -> Optional[int]:
    """The size of the feed-forward layer as MindFormers' Llama computes it where it is not given."""
    multiple_of = _MULTIPLE_OF if multiple_of is None else multiple_of
    if type(multiple_of) is not int or multiple_of < 1:
        return None
    size: float = 4 * hidden
    if isinstance(multiplier, (int, float)) and not isinstance(multiplier, bool):
        size = int((multiplier + 0.01) * size)
    size = int(2 * size / 3)
    return multiple_of * ((size + multiple_of - 1) // multiple_of)


def other_functions(base: Mapping[str, Any], network: Network) -> list[str]:
    """What the YAML computes with another function than the one that a training gets."""
    section = model_section(base)
    return [
        f"{key} {section[key]}, and {network.words[key]} is trained with"
        for key in _FUNCTIONS
        if key in section and key in network.words and section[key] != network.words[key]
    ]
