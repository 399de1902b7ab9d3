"""Reads from the YAML of a training what its memory depends on, as the Workload of the estimate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from sft_tui.core.facts import Facts
from sft_tui.core.memory.estimate import Workload, known_limit, pool_bytes
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import Profile
from sft_tui.families.table import FAMILIES
from sft_tui.launch.yaml.adapters import adaptable_cells, adapted_matrices
from sft_tui.launch.yaml.run_spec import RunSpec, device_memory_gb
from sft_tui.launch.yaml.training_config import build_training_config

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def plan_workload(profile: Profile, facts: Facts) -> tuple[Workload, Optional[int]]:
    """The workload of a profile's training, and the memory pool of one NPU in bytes; None on CPU."""
    run = RunSpec(profile, facts, adapters=profile.training.method == "lora")
    config = build_training_config(run)
    if profile.environment.device_target == "CPU":
        return read_workload(config, facts.model), None
    limit = known_limit(str(_section(config, "context").get("max_device_memory", "")))
    return read_workload(config, facts.model), limit or pool_bytes(device_memory_gb(profile, facts))


def tokens_per_step(profile: Profile, facts: Facts) -> int:
    """Tokens of all ranks for one optimizer step; 0 where the YAML does not tell."""
    try:
        return plan_workload(profile, facts)[0].tokens_per_step
    except (KeyError, ValueError, TypeError, re.error):  # what is wrong there is said elsewhere
        return 0


def read_workload(config: Mapping[str, Any], model: ModelConfig) -> Workload:
    """The workload of a MindFormers YAML; sizes of the model are those of its config.json."""
    network = _section(_section(config, "model"), "model_config")
    sizes, parallel = _section(config, "parallel_config"), _section(config, "parallel")
    runner, recompute = _section(config, "runner_config"), _section(config, "recompute_config")
    sharding = _section(parallel, "parallel_optimizer_config")
    direct = config.get("use_legacy") is False
    work = Workload(
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        num_heads=model.num_heads,
        num_kv_heads=model.num_kv_heads,
        intermediate_size=model.intermediate_size,
        vocab_size=model.vocab_size,
        seq_length=int(network["seq_length"]),
        # both halves of an interleaved batch are under way at a time
        batch_size=_size(runner, "batch_size") * _size(config, "micro_batch_interleave_num"),
        # MindFormers' Llama has an output layer of its own, whatever config.json says
        tied=model.tied and (direct or not FAMILIES[model.family].tied_target),
        gated=FAMILIES[model.family].gated,
        head_dim=model.head_dim,
        qk_norms=model.qk_norms,
        num_experts=model.num_experts,
        expert_intermediate=model.moe_intermediate_size,
        experts_per_token=model.experts_per_token,
        expert_parallel=_size(sizes, "expert_parallel"),
        data_parallel=_size(sizes, "data_parallel"),
        model_parallel=_size(sizes, "model_parallel"),
        pipeline_stage=_size(sizes, "pipeline_stage"),
        micro_batch_num=_size(sizes, "micro_batch_num"),
        accumulation=_size(runner, "gradient_accumulation_steps"),
        sequence_parallel=bool(sizes.get("use_seq_parallel")),
        parallel_optimizer=bool(parallel.get("enable_parallel_optimizer")),
        gradient_accumulation_shard=bool(sharding.get("gradient_accumulation_shard")),
        recompute=recompute.get("recompute") is True,
        select_recompute=_selected(recompute.get("select_recompute")),
        vocab_emb_dp=bool(sizes.get("vocab_emb_dp")),
        param_bytes=_type_bytes(network, "params_dtype" if direct else "param_init_type"),
        compute_bytes=_type_bytes(network, "compute_dtype"),
        softmax_bytes=_type_bytes(network, "softmax_compute_dtype" if direct else "softmax_compute_type"),
        flash_attention=bool(network.get("use_flash_attention", direct)),
    )
    adapters = _section(network, "pet_config")
    if adapters.get("pet_type") != "lora":
        return work
    cells = adaptable_cells(model.family, direct=direct)
    targets = adapted_matrices(str(adapters.get("target_modules", "")), cells)
    return Workload(**{**vars(work), "lora_rank": _size(adapters, "lora_rank"), "lora_targets": targets})


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _size(section: Mapping[str, Any], name: str) -> int:
    found = section.get(name)
    return found if isinstance(found, int) and found > 0 else 1


def _type_bytes(network: Mapping[str, Any], name: str) -> int:
    return _BYTES.get(str(network.get(name)), 4)


def _selected(layers: object) -> int:
    """Layers of the first stage that recompute their activation function: a list has one number a stage."""
    if isinstance(layers, list) and layers:
        return layers[0] if isinstance(layers[0], int) else 0
    return 10**6 if layers is True else 0
