"""Qwen3 with experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

from sft_tui.families.direct_layers import (
    ATTENTION,
    DEFAULTS,
    LOADED_AS_IT_IS,
    ONE_LAYOUT,
    layer_rule,
)
from sft_tui.families.family import PublishedModel, Stacked, TensorRule
from sft_tui.families.qwen3 import QWEN3

_EXPERT = "model.layers.{layer}.mlp.experts.{expert}."
_EXPERT_TARGET = "decoder.layers.{layer}.mlp.experts."


def _experts() -> Tuple[TensorRule, ...]:
    """MindFormers keeps the experts of a layer below each other, turned, each gate beside what it gates."""
    into, out = ("expert_intermediate", "hidden"), ("hidden", "expert_intermediate")
    return (
        TensorRule(_EXPERT + "gate_proj.weight", _EXPERT_TARGET + "weight1", into, stacked=Stacked(0, 2)),
        TensorRule(_EXPERT + "up_proj.weight", _EXPERT_TARGET + "weight1", into, stacked=Stacked(1, 2)),
        TensorRule(_EXPERT + "down_proj.weight", _EXPERT_TARGET + "weight2", out, stacked=Stacked(0, 1)),
    )


QWEN3_MOE = replace(
    QWEN3,
    name="qwen3_moe",
    title="Qwen3-MoE",
    about="experts",
    # MindFormers has no file to fine-tune it, only one for pretraining a 30B
    base_yaml="qwen3_moe/pretrain_qwen3_30b_a3b_4k.yaml",
    architectures=("Qwen3MoeForCausalLM",),
    layer=(*ATTENTION, layer_rule("mlp.gate.weight", "mlp.router.weight", "experts", "hidden")),
    expert=_experts(),
    counters=(r"decoder\.layers\.\d+\.mlp\.router\.(fi_accu|expert_load)",),
    config_defaults={**DEFAULTS, "num_experts": 128, "moe_intermediate_size": 768, "num_experts_per_tok": 8},
    # every layer has experts, in all that were published
    fixed={**ONE_LAYOUT, "decoder_sparse_step": 1, "mlp_only_layers": []},
    published=(PublishedModel("Qwen3 30B-A3B", "Qwen/Qwen3-30B-A3B", 30.5, 61.1, 40960, LOADED_AS_IT_IS),),
)
