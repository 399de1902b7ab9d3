"""What stands in on CPU for operators that only NPUs have, and for what other versions of MindSpore have.

Each module installs itself where MindFormers looks for the operator. Not to be called where training runs on NPUs.
"""

from __future__ import annotations

import importlib

# taken by name when MindFormers is imported
BEFORE_MINDFORMERS = ("without_hyper_parallel", "operators.argmax", "operators.barrier")
# parts of MindFormers itself, in the networks of the checkpoint route
OF_MINDFORMERS = ("cell_cast", "chatglm")
# the same of networks of MindFormers' new kind (`use_legacy: False`)
BEFORE_NEW_KIND = tuple(
    f"operators.{name}" for name in ("split_with_size", "outer", "attention_score", "embedding", "dropout", "topk")
)
OF_NEW_KIND = ("fused_norm", "parallel_groups", "whole_weights", "grouped_experts")


def install(device_target: str, *, new_kind: bool) -> None:
    """Put them all in place, and import MindFormers. Raises ValueError off CPU."""
    if device_target != "CPU":
        raise ValueError(f"{device_target} has these operators itself")
    names = (*BEFORE_MINDFORMERS, *((*BEFORE_NEW_KIND, *OF_NEW_KIND) if new_kind else OF_MINDFORMERS))
    for name in names:
        importlib.import_module(f"sft_tui.launch.runtime.cpu.{name}").install()
