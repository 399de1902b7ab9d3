"""The YAML of a run on the direct route: one of the installed MindFormers' own, changed where it has to be.

These networks (`use_legacy: False`) read their sizes from the Hugging Face folder that `pretrained_model_dir` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_tui.core.facts import Facts
from sft_tui.core.parallel_layout import Layout
from sft_tui.core.profile import Profile
from sft_tui.launch.yaml import sections
from sft_tui.launch.yaml.adapters import build_adapters
from sft_tui.launch.yaml.base_yaml import ABSENT, Whole, parse_base
from sft_tui.launch.yaml.overlay import choose_memory

# what the folder's config.json says of a model, and MindFormers' other words for it (its transformer_config_utils.py):
# in model_config they would take its place
_OF_THE_FOLDER = (
    "vocab_size", "hidden_size", "hidden_act", "max_position_embeddings", "tie_word_embeddings", "norm_topk_prob",
    "intermediate_size", "ffn_hidden_size", "num_hidden_layers", "num_layers", "n_layer", "num_attention_heads",
    "num_heads", "n_head", "num_key_value_heads", "n_kv_heads", "num_query_groups", "head_dim", "kv_channels",
    "rms_norm_eps", "layernorm_epsilon", "layer_norm_epsilon", "rope_theta", "theta", "rotary_base", "attention_bias",
    "qkv_has_bias", "add_qkv_bias", "initializer_range", "init_method_std", "num_experts", "expert_num",
    "n_routed_experts", "num_moe_experts", "num_experts_per_tok", "num_experts_chosen", "moe_router_topk",
    "moe_intermediate_size", "moe_ffn_hidden_size", "moe_router_topk_scaling_factor",
)  # fmt: skip
# the router's weights count as they are in Hugging Face's model: MindFormers' own file scales them for its pretraining
_EXPERTS = {"routed_scaling_factor": 1.0}
COLUMNS = ("input_ids", "labels")
_NEVER = 2**31 - 1  # steps between two lines of MFLossMonitor, which MindFormers adds by itself


def build_direct_changes(
    profile: Profile,
    facts: Facts,
    layout: Layout,
    *,
    trains: bool,
    parallel: bool,
    output_dir: str,
    load_checkpoint: str,
    mindrecord: str,
    strategy_dir: str,
    save_steps: int,
    graceful_exit: str,
    memory_gb: float,
    adapters: bool,
) -> dict[str, Any]:
    """What goes into the base; `trains` False measures the loss on held-out data (`runtime/direct/held_out`)."""
    base, cpu = parse_base(facts.base_yaml), profile.environment.device_target == "CPU"
    changes: dict[str, Any] = {
        "seed": profile.training.seed,
        "output_dir": output_dir,
        "load_checkpoint": load_checkpoint,
        "load_ckpt_format": "safetensors",
        "src_strategy_path_or_dir": strategy_dir,
        "auto_trans_ckpt": parallel and not cpu,
        "resume_training": False,
        "use_parallel": parallel,
        "run_mode": "finetune",
        "use_legacy": False,
        "pretrained_model_dir": profile.model.hf_dir,
        "runner_config": _runner(profile, layout, trains=trains),
        "model": {"model_config": _model(profile, facts, base, cpu=cpu, trains=trains, adapters=adapters)},
        "context": _context(profile, base, cpu=cpu, memory_gb=memory_gb),
        **_parallel(layout, facts, cpu=cpu),
        **_datasets(profile, base, mindrecord, trains=trains, cpu=cpu),
        **_optimization(profile, cpu=cpu),
    }
    if trains:
        changes.update({"use_graceful_exit": True} if graceful_exit else {})
        callbacks = sections.build_callbacks(save_steps, graceful_exit)
        changes["callbacks"] = [_as_safetensors(callback) for callback in callbacks]
    else:
        changes["calculate_per_token_loss"] = True
        if base.get("print_separate_loss"):  # parts of a loss that a training step would register
            changes["print_separate_loss"] = False
        changes["callbacks"] = Whole([{"type": "MFLossMonitor", "per_print_times": _NEVER}, {"type": "HeldOutLoss"}])
        changes["runner_wrapper"] = Whole({"type": "HeldOutCell"})
    return changes


def _runner(profile: Profile, layout: Layout, *, trains: bool) -> dict[str, Any]:
    runner = {"gradient_accumulation_steps": 1, **sections.build_runner(profile, layout, trains=trains)}
    return runner if trains else {**runner, "epochs": 1}


def _model(
    profile: Profile, facts: Facts, base: Mapping[str, Any], *, cpu: bool, trains: bool, adapters: bool
) -> dict[str, Any]:  # fmt: skip
    theirs = (base.get("model") or {}).get("model_config") or {}
    model: dict[str, Any] = {
        # left out, it is 4096
        "seq_length": profile.dataset.seq_length,
        # without it MindFormers 1.7 cannot load a Hugging Face folder
        "qkv_concat": True,
    }
    model.update({key: ABSENT for key in _OF_THE_FOLDER if key in theirs})
    model.update(_EXPERTS if facts.model.num_experts else {})
    if cpu:
        model["compute_dtype"] = "float32"
    dropout = profile.training.lora_dropout if trains else 0.0
    pet_config = {**build_adapters(profile, direct=True), "lora_dropout": dropout}
    model["pet_config"] = Whole(pet_config) if adapters else ABSENT
    if not trains:
        model.update(hidden_dropout=0.0, attention_dropout=0.0)
    release = facts.environment.release
    for old, new in (release.renamed if release else {}).items():
        if old in theirs:
            model.update({old: ABSENT, new: theirs[old] == "float32"})
    return model


def _context(profile: Profile, base: Mapping[str, Any], *, cpu: bool, memory_gb: float) -> dict[str, Any]:
    context: dict[str, Any] = {"device_target": profile.environment.device_target}
    if cpu:
        npu_only = ("max_device_memory", "memory_optimize_level", "jit_config", "ascend_config")
        return {**context, **dict.fromkeys(npu_only, ABSENT)}
    ours = {"context": sections.build_context(profile.environment.device_target, memory_gb)}
    context.update(choose_memory(base, ours, memory_gb))
    # a file beside MindFormers' programs, which the wheel lacks: naming it is an error where it is not
    context["ascend_config"] = {"parallel_speed_up_json_path": ABSENT}
    return context


def _parallel(layout: Layout, facts: Facts, *, cpu: bool) -> dict[str, Any]:
    sizes = {**sections.layout_sizes(layout), "use_seq_parallel": layout.model_parallel > 1}
    if facts.model.num_experts:
        sizes["expert_parallel"] = layout.expert_parallel
    parallel: dict[str, Any] = {
        "full_batch": not cpu,
        # it has a row for each column of another dataset
        "dataset_strategy": ABSENT,
        "enable_parallel_optimizer": layout.parallel_optimizer,
    }
    if cpu:  # semi-auto parallel (1) kills the workers on CPU without a message
        parallel.update(parallel_mode=0, gradients_mean=True, enable_alltoall=False)
    return {
        "parallel": parallel,
        "parallel_config": sizes,
        "micro_batch_interleave_num": layout.interleave,
        "recompute_config": {"recompute": layout.recompute},
    }


def _datasets(
    profile: Profile, base: Mapping[str, Any], mindrecord: str, *, trains: bool, cpu: bool
) -> dict[str, Any]:  # fmt: skip
    """A MindRecord in the place of the data that the base downloads, of which it takes 2,000 records."""
    dataset: dict[str, Any] = {
        "input_columns": list(COLUMNS),
        "construct_args_key": list(COLUMNS),
        "data_loader": {"type": "MindDataset", "dataset_dir": mindrecord, "shuffle": trains},
        "num_parallel_workers": 1 if cpu else 8,
        "batch_size": profile.training.batch_size if trains else 1,
        "repeat": 1,
        "drop_remainder": True,
    }
    theirs = base.get("train_dataset")
    if isinstance(theirs, Mapping):
        loader = theirs.get("data_loader")
        if isinstance(loader, Mapping):
            dataset["data_loader"] = {**dict.fromkeys(loader, ABSENT), **dataset["data_loader"]}
        for key, value in (("python_multiprocessing", False), ("numa_enable", False), ("prefetch_size", 1)):
            dataset.setdefault(key, theirs.get(key, value))
    # where the task repeats the section by an alias, the same change is made to the same object
    task = {"type": "CausalLanguageModelDataset", "dataset_config": dataset}
    return {"train_dataset": dataset, "train_dataset_task": task}


def _optimization(profile: Profile, *, cpu: bool) -> dict[str, Any]:
    training = profile.training
    schedule: dict[str, Any] = {"learning_rate": training.learning_rate, "warmup_ratio": training.warmup_ratio}
    if not training.base_yaml:
        schedule.update(type="CosineWithWarmUpLR", lr_end=0.0)
    wrapper: dict[str, Any] = {"use_clip_grad": True, "max_grad_norm": training.max_grad_norm}
    if cpu:
        wrapper.update(auto_register=sections.CPU_TRAIN_CELL, type=sections.CPU_TRAIN_CELL.rpartition(".")[2])
    return {
        "optimizer": {"weight_decay": training.weight_decay},
        "lr_schedule": schedule,
        "runner_wrapper": wrapper,
    }


def _as_safetensors(callback: dict[str, Any]) -> dict[str, Any]:
    return {**callback, "checkpoint_format": "safetensors"} if callback["type"] == "CheckpointMonitor" else callback
