"""Builds pet_config of LoRA, and says which matrices it adapts.

MindFormers compares `target_modules`, a regular expression, with the name of each cell alone.
"""

from __future__ import annotations

import re
from typing import Any

from sft_tui.core.profile import Profile
from sft_tui.families.direct_layers import CELLS as DIRECT_CELLS
from sft_tui.families.family import AdaptableCells
from sft_tui.families.llama import CELLS as LLAMA_CELLS
from sft_tui.families.table import FAMILIES

ATTENTION = ("wq", "wk", "wv", "wo")


def adaptable_cells(family: str, *, direct: bool) -> AdaptableCells:
    """The cells of a family's network; those of the route's usual network where the family does not say."""
    known = FAMILIES.get(family)
    if known and known.lora and known.direct == direct:
        return known.lora
    return DIRECT_CELLS if direct else LLAMA_CELLS


def build_adapters(profile: Profile, *, direct: bool) -> dict[str, Any]:
    """The content of pet_config: rank, alpha, dropout and target_modules, in MindFormers' keys of the route."""
    training = profile.training
    cells = adaptable_cells(profile.model.family, direct=direct)
    adapters: dict[str, Any] = {
        "pet_type": "lora",
        "lora_rank": training.lora_rank,
        "lora_alpha": training.lora_alpha,
        "lora_dropout": training.lora_dropout,
        "target_modules": training.lora_targets or cells.attention,
    }
    if direct:  # the others freeze by themselves all that is no adapter
        adapters.update(freeze_include=["*"], freeze_exclude=["*lora*"])
    return adapters


def adapted_matrices(pattern: str, cells: AdaptableCells) -> tuple[str, ...]:
    """The matrices of a layer that the pattern means. Raises re.error."""
    return tuple(matrix for name, held in cells.matrices.items() if re.match(pattern, name) for matrix in held)
