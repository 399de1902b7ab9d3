"""What stands in on CPU for operators that only NPUs have, in networks of MindFormers' new kind (`use_legacy: False`).

Each module installs itself where MindFormers looks for the operator. Not to be called where training runs on NPUs.
"""

from __future__ import annotations

import importlib

# taken by name when MindFormers is imported
BEFORE_MINDFORMERS = ("split_with_size", "outer", "attention_score", "embedding", "dropout", "topk", "barrier")
# parts of MindFormers itself
OF_MINDFORMERS = ("fused_norm", "parallel_groups", "whole_weights", "grouped_experts")


def install(device_target: str) -> None:
    """Put them all in place, and import MindFormers. Raises ValueError off CPU."""
    if device_target != "CPU":
        raise ValueError(f"{device_target} has these operators itself")
    for name in (*BEFORE_MINDFORMERS, *OF_MINDFORMERS):
        importlib.import_module(f"sft_tui.launch.runtime.cpu.{name}").install()
