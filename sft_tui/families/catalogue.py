"""Lists published models that one of the two routes takes to MindFormers: to choose, and to fetch."""

from __future__ import annotations

from typing import List, Optional, Tuple

from sft_tui.families.family import PublishedModel
from sft_tui.families.table import FAMILIES

# with the name of its family
CATALOGUE: Tuple[Tuple[str, PublishedModel], ...] = tuple(
    (family.name, model) for family in FAMILIES.values() for model in family.published
)


def describe_model(family: str, model: PublishedModel) -> List[str]:
    """A published model in lines for people."""
    size = f"{model.parameters_billion:g} billion parameters, {model.disk_gb:g} GB, up to {model.max_positions} tokens"
    lines = [
        f"{model.name}: {size}; family {family}",
        f"fetch it where there is internet:  hf download {model.repo} --local-dir FOLDER",
    ]
    return [*lines, model.note] if model.note else lines


def find_entry(repo: str) -> Optional[Tuple[str, PublishedModel]]:
    """Family and model of a repository, or None."""
    return next((entry for entry in CATALOGUE if entry[1].repo == repo), None)
