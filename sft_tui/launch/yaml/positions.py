"""How a model scales its positions, in the words of MindFormers' Llama."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

# Hugging Face's rope_type -> MindFormers' extend_method, and the numbers of both
_METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "llama3": ("LLAMA3", ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")),
    "linear": ("PI", ("factor",)),  # its own "linear" refuses every number (1.5 to 2.0)
}


def scaling_kind(scaling: Mapping[str, object]) -> str:
    """The rope_type of a config.json's rope_scaling, by its new or its old name."""
    return str(scaling.get("rope_type", scaling.get("type", "")))[:40]


def extend_method(scaling: Optional[Mapping[str, object]]) -> str:
    """MindFormers' word; "None" without scaling. What it has no word for, checks/positions.py refuses."""
    return _METHODS.get(scaling_kind(scaling or {}), ("None", ()))[0]


def scaling_names(kind: str) -> tuple[str, ...]:
    """The numbers that a kind of scaling needs."""
    return _METHODS.get(kind, ("", ()))[1]


def scaling_factor(scaling: Mapping[str, object]) -> object:
    """One factor alone, or the numbers under the same names: factors as floats, the length as an integer."""
    found: dict[str, object] = {}
    for name in scaling_names(scaling_kind(scaling)):
        value = scaling[name]
        assert isinstance(value, (int, float))
        found[name] = int(value) if name.startswith("original") else float(value)
    return found["factor"] if len(found) == 1 else found
