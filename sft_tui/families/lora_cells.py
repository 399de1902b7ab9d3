"""LoRA: which cells of a network get adapters. MindFormers compares its pattern with the name of each cell alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sft_tui.core.profile import Profile

ATTENTION = ("wq", "wk", "wv", "wo")


@dataclass(frozen=True)
class AdaptableCells:
    """The names of cells in a kind of network.

    `attention` is the pattern of MindFormers' own files. `matrices`: what can be adapted, and the matrices of a layer
    (in the words of the memory estimate) that lie in it. `blocks` hold others: a pattern that means one stops there.
    """

    attention: str
    matrices: Mapping[str, tuple[str, ...]]
    blocks: tuple[str, ...]


LLAMA = AdaptableCells(
    ".*wq|.*wk|.*wv|.*wo",
    {name: (name,) for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")},
    ("model", "layers", "attention", "feed_forward"),
)
# networks with `use_legacy: False`; MindFormers has this pattern in configs/qwen3/README.md, with the rest of the layer
NEW_KIND = AdaptableCells(
    ".*linear_qkv|.*linear_proj",
    {
        "linear_qkv": ("wq", "wk", "wv"),
        "linear_proj": ("wo",),
        "linear_fc1": ("w1", "w3"),
        "linear_fc2": ("w2",),
    },
    ("model", "decoder", "layers", "self_attention", "mlp"),
)


def adaptable_cells(*, new_kind: bool) -> AdaptableCells:
    """`new_kind`: the direct route's networks."""
    return NEW_KIND if new_kind else LLAMA


def build_adapters(profile: Profile, *, new_kind: bool) -> dict[str, Any]:
    """pet_config of LoRA."""
    training = profile.training
    adapters: dict[str, Any] = {
        "pet_type": "lora",
        "lora_rank": training.lora_rank,
        "lora_alpha": training.lora_alpha,
        "lora_dropout": training.lora_dropout,
        "target_modules": training.lora_targets or adaptable_cells(new_kind=new_kind).attention,
    }
    if new_kind:  # the others freeze by themselves all that is no adapter
        adapters.update(freeze_include=["*"], freeze_exclude=["*lora*"])
    return adapters


def adapted_matrices(pattern: str, *, new_kind: bool) -> tuple[str, ...]:
    """The matrices of a layer that the pattern means. Raises re.error."""
    cells = adaptable_cells(new_kind=new_kind).matrices
    return tuple(matrix for name, held in cells.items() if re.match(pattern, name) for matrix in held)
