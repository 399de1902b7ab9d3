"""What a source checkout of MindFormers holds: its programs and its training configurations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# entry points that a release may have, by their place in the tree
PROGRAMS = (
    "run_mindformer.py",
    "convert_weight.py",
    "scripts/msrun_launcher.sh",
    "mindformers/tools/dataset_preprocess/llama/alpaca_converter.py",
    "mindformers/tools/dataset_preprocess/llama/llama_preprocess.py",
)


@dataclass(frozen=True)
class SourceTree:
    """`programs` are the entry points that are there, `configs` the models with a configuration for finetuning."""

    programs: tuple[str, ...]
    configs: tuple[str, ...]


def inspect_source_tree(home: Path) -> SourceTree:
    """Look for entry points and for configs/MODEL/finetune_*.yaml (in research/ as well)."""
    programs = tuple(name for name in PROGRAMS if (home / name).is_file())
    found = {path.parent.name for path in home.glob("configs/*/finetune_*.yaml")}
    found |= {path.relative_to(home).parts[1] for path in home.glob("research/**/finetune_*.yaml")}
    return SourceTree(programs, tuple(sorted(found)))
