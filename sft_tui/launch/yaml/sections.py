"""The sections of a MindFormers YAML that is built without a base.

Key names are MindFormers' own (its `configs/llama2/finetune_llama2_7b.yaml` of 1.2 and the classes of 1.6 and 1.7).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sft_tui.core.memory.estimate import GIB, pool_bytes
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.parallel_layout import Layout
from sft_tui.core.profile import Profile
from sft_tui.core.release import Release
from sft_tui.families.family import Network
from sft_tui.families.llama import NETWORK as LLAMA_NETWORK
from sft_tui.families.table import FAMILIES
from sft_tui.launch.yaml.adapters import build_adapters

CHECKPOINT_PREFIX = "sft"
CPU_TRAIN_CELL = "train_one_step.CpuTrainOneStepCell"
KEPT_CHECKPOINTS = 3


def build_runner(profile: Profile, layout: Layout, *, trains: bool) -> dict[str, Any]:
    """runner_config."""
    training = profile.training
    runner: dict[str, Any] = {
        "epochs": training.epochs,
        # MindFormers puts this one in the place of the dataset's own; one row at a time weighs all rows alike
        "batch_size": training.batch_size if trains else 1,
        # sink_mode hides single steps and can make `epochs` 0 on short data sets
        "sink_mode": trains and sinks(profile),
        "sink_size": (training.sink_size if trains and sinks(profile) else 0) or 1,
    }
    if trains and layout.pipeline_stage == 1 and layout.accumulation > 1:
        runner["gradient_accumulation_steps"] = layout.accumulation
    return runner


def sinks(profile: Profile) -> bool:
    """Whether the device runs several steps by itself; MindSpore has that on NPUs alone."""
    return profile.training.sink_size > 0 and profile.environment.device_target != "CPU"


def network(profile: Profile) -> Network:
    """The words for the network of the profile's family; those of Llama where the family has none."""
    family = FAMILIES.get(profile.model.family)
    return family.network if family and family.network else LLAMA_NETWORK


def build_processor(profile: Profile, tokenizer_model: str) -> dict[str, Any]:
    """processor: the tokenizer."""
    words = network(profile)
    tokenizer = {
        "type": words.tokenizer_class,
        "vocab_file": tokenizer_model,
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<unk>",
    }
    return {"return_tensors": "ms", "tokenizer": tokenizer, "type": words.processor_class}


def build_parallel(layout: Layout, cpu: bool) -> dict[str, Any]:
    """parallel, parallel_config and recompute_config."""
    parallel: dict[str, Any] = {
        # semi-auto parallel (1) kills the workers on CPU without a message
        "parallel_mode": 0 if cpu else 1,
        "gradients_mean": cpu,
        "full_batch": not cpu,
        "enable_parallel_optimizer": layout.parallel_optimizer,
        "enable_alltoall": False,
        "search_mode": "sharding_propagation",
        "strategy_ckpt_save_file": "./ckpt_strategy.ckpt",
    }
    recompute: dict[str, Any] = {"recompute": layout.recompute, "select_recompute": False}
    if not cpu:
        # as in MindFormers' own files; the memory estimate counts on them
        parallel["parallel_optimizer_config"] = {
            "gradient_accumulation_shard": False,
            "parallel_optimizer_threshold": 64,
        }
        recompute.update(
            parallel_optimizer_comm_recompute=False, mp_comm_recompute=True, recompute_slice_activation=True
        )
    sizes: dict[str, Any] = {
        **layout_sizes(layout),
        "vocab_emb_dp": layout.model_parallel == 1,
        "gradient_aggregation_group": 4,
    }
    if layout.model_parallel > 1:
        sizes["use_seq_parallel"] = True
    return {
        "parallel": parallel,
        "parallel_config": sizes,
        "micro_batch_interleave_num": layout.interleave,
        "recompute_config": recompute,
    }


def layout_sizes(layout: Layout) -> dict[str, int]:
    """The sizes of parallel_config."""
    return {
        "data_parallel": layout.data_parallel,
        "model_parallel": layout.model_parallel,
        "pipeline_stage": layout.pipeline_stage,
        "micro_batch_num": layout.micro_batch_num,
    }


def build_context(device_target: str, device_memory_gb: float) -> dict[str, Any]:
    """context; on an NPU with what MindSpore may take of its memory."""
    context: dict[str, Any] = {
        "mode": 0,
        "device_target": device_target,
        "enable_graph_kernel": False,
        "max_call_depth": 10000,
        "save_graphs": False,
        "device_id": 0,
    }
    if device_target != "CPU":
        context["max_device_memory"] = f"{pool_bytes(device_memory_gb) // GIB}GB"
    return context


def build_model(profile: Profile, model: ModelConfig, *, adapters: bool) -> dict[str, Any]:
    """model: sizes from config.json, types for the device, adapters of LoRA."""
    cpu = profile.environment.device_target == "CPU"
    compute = "float32" if cpu else "bfloat16"
    config: dict[str, Any] = {
        "type": network(profile).config_class,
        "batch_size": profile.training.batch_size,
        "seq_length": profile.dataset.seq_length,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "num_heads": model.num_heads,
        "n_kv_heads": model.num_kv_heads,
        "vocab_size": model.vocab_size,
        "intermediate_size": model.intermediate_size,
        "rms_norm_eps": model.rms_norm_eps,
        "theta": model.rope_theta,
        "bos_token_id": 1 if model.bos_token_id is None else model.bos_token_id,
        "eos_token_id": 2 if model.eos_token_id is None else model.eos_token_id,
        "pad_token_id": 0,
        "ignore_token_id": -100,
        "compute_dtype": compute,
        "layernorm_compute_type": "float32",
        "softmax_compute_type": "float32",
        "rotary_dtype": "float32",
        "param_init_type": "float32",
        "use_past": False,
        "extend_method": "None",
        "use_flash_attention": not cpu,
        "offset": 0,
        "checkpoint_name_or_path": "",
    }
    if cpu:  # the fused operators exist on NPUs only
        config.update({"fused_rms_norm": False, "use_rope_slice": True})
    if adapters:
        config["pet_config"] = build_adapters(profile, direct=False)
    return {"model_config": config, "arch": {"type": network(profile).model_class}}


def build_optimization(profile: Profile, release: Release, cpu: bool) -> dict[str, Any]:
    """optimizer, lr_schedule and runner_wrapper."""
    training = profile.training
    betas: dict[str, Any] = {"betas": [0.9, 0.95]} if release.betas_as_list else {"beta1": 0.9, "beta2": 0.999}
    wrapper: dict[str, Any] = {
        "type": "MFTrainOneStepCell",
        "scale_sense": {
            "type": "DynamicLossScaleUpdateCell",
            "loss_scale_value": 65536,
            "scale_factor": 2,
            "scale_window": 1000,
        },
        "use_clip_grad": True,
        "max_grad_norm": training.max_grad_norm,
    }
    if cpu:
        wrapper.update({"auto_register": CPU_TRAIN_CELL, "type": CPU_TRAIN_CELL.rpartition(".")[2]})
    return {
        "optimizer": {
            "type": release.optimizer,
            **betas,
            "eps": 1e-8,
            "weight_decay": training.weight_decay,
            "learning_rate": training.learning_rate,
        },
        "lr_schedule": {
            "type": "CosineWithWarmUpLR",
            "learning_rate": training.learning_rate,
            "lr_end": 0.0,
            "warmup_ratio": training.warmup_ratio,
            "total_steps": -1,
        },
        "runner_wrapper": wrapper,
    }


def build_datasets(profile: Profile, mindrecord: str, *, trains: bool, drop_remainder: bool) -> dict[str, Any]:
    """train_dataset or eval_dataset, with its task."""
    dataset: dict[str, Any] = {
        "input_columns": ["input_ids", "labels"],
        "num_parallel_workers": 1 if profile.environment.device_target == "CPU" else 8,
        "python_multiprocessing": False,
        "batch_size": profile.training.batch_size if trains else 1,
        "repeat": 1,
        "numa_enable": False,
        "prefetch_size": 1,
        "data_loader": {"type": "MindDataset", "dataset_dir": mindrecord, "shuffle": trains},
        "drop_remainder": drop_remainder,
    }
    name = "train_dataset" if trains else "eval_dataset"
    task = {"type": "CausalLanguageModelDataset", "dataset_config": deepcopy(dataset)}
    return {name: dataset, f"{name}_task": task}


def build_callbacks(every: int, graceful_exit: str) -> list[dict[str, Any]]:
    """callbacks of a training: losses, checkpoints, and the request to end."""
    callbacks: list[dict[str, Any]] = [
        {"type": "MFLossMonitor"},
        {
            "type": "CheckpointMonitor",
            "prefix": CHECKPOINT_PREFIX,
            "save_checkpoint_steps": every,
            "keep_checkpoint_max": KEPT_CHECKPOINTS,
            "integrated_save": False,
            "async_save": False,
            # the weights alone, without optimizer state: what one evaluates and serves
            "save_network_params": True,
        },
    ]
    if graceful_exit:
        # with save_ckpt it would load its own file at the start of every later run; CheckpointMonitor saves as well
        callbacks.append(
            {"type": "OnRequestExit", "save_ckpt": False, "save_mindir": False, "config_file": graceful_exit}
        )
    return callbacks
