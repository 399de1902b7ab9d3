"""The MindFormers YAML of a run, built from the profile and the Hugging Face `config.json`.

Key names are MindFormers' own (its `configs/llama2/finetune_llama2_7b.yaml` of 1.2 and the classes of 1.6 and 1.7).
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any, Literal

import yaml

from sft_tui.core.estimate import Schedule, build_schedule
from sft_tui.core.facts import Facts, StackTraits
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.profile import Profile

RunMode = Literal["finetune", "eval"]
CHECKPOINT_PREFIX = "sft"
CPU_TRAIN_CELL = "train_one_step.CpuTrainOneStepCell"


def training_schedule(profile: Profile, facts: Facts) -> Schedule:
    """What the run does with the records: every worker is a rank of its own, incomplete batches are dropped."""
    training = profile.training
    return build_schedule(
        facts.train_records,
        batch_size=training.batch_size,
        data_parallel=profile.nodes.worker_num,
        epochs=training.epochs,
    )


def training_steps(profile: Profile, facts: Facts) -> int:
    """Optimizer steps of the whole run."""
    return training_schedule(profile, facts).steps


def save_steps(profile: Profile, facts: Facts) -> int:
    """Steps between two checkpoints: the user's choice, else four over the run with the last step among them."""
    if profile.training.save_checkpoint_steps:
        return profile.training.save_checkpoint_steps
    return max(1, math.ceil(training_steps(profile, facts) / 4))


def is_distributed(profile: Profile, run_mode: RunMode) -> bool:
    """Whether msrun starts several workers: NPUs hold the model in slices, so evaluation needs them as well."""
    return profile.nodes.worker_num > 1 and (run_mode == "finetune" or profile.environment.device_target != "CPU")


def saves_on_request(facts: Facts) -> bool:
    """The training saves a checkpoint and ends when a file asks it to."""
    traits = facts.environment.traits
    return traits is not None and traits.graceful_exit


def build_training_yaml(
    profile: Profile,
    facts: Facts,
    *,
    run_mode: RunMode,
    output_dir: str,
    load_checkpoint: str,
    mindrecord: str,
    strategy_dir: str = "",
    graceful_exit: str = "",
) -> str:
    """The YAML text of one run; every path in it is absolute.

    `strategy_dir` tells how a checkpoint in slices was sliced; MindFormers merges it first. `graceful_exit` is the file
    by which the training can be asked to save and end.
    """
    traits = facts.environment.traits
    if traits is None:
        raise ValueError("facts without MindFormers traits: preflight must refuse them first")
    cpu = profile.environment.device_target == "CPU"
    parallel = is_distributed(profile, run_mode)
    config: dict[str, Any] = {
        "seed": profile.training.seed,
        "output_dir": output_dir,
        "load_checkpoint": load_checkpoint,
        "load_ckpt_format": "ckpt",
        "auto_trans_ckpt": parallel and not cpu,
        "src_strategy_path_or_dir": strategy_dir,
        "resume_training": False,
        "run_mode": run_mode,
        "trainer": {"type": "CausalLanguageModelingTrainer", "model_name": "llama2_7b"},
        "runner_config": {
            "epochs": profile.training.epochs,
            # MindFormers puts this one in the place of the dataset's own; one row at a time weighs all rows alike
            "batch_size": profile.training.batch_size if run_mode == "finetune" else 1,
            # sink_mode hides single steps and can make `epochs` 0 on short data sets
            "sink_mode": False,
            "sink_size": 1,
        },
        "use_parallel": parallel,
        **_parallel(profile, cpu),
        "context": _context(profile, cpu),
        "model": _model(profile, facts.model, cpu),
        "processor": _processor(facts.tokenizer_model),
        "metric": {"type": "PerplexityMetric"},
        "do_eval": False,
        "callbacks": [],
    }
    # MindFormers reads the training sections even where it only evaluates
    config.update(_optimization(profile, traits, cpu))
    config.update(_datasets(profile, run_mode, mindrecord))
    if run_mode == "finetune":
        saves = bool(graceful_exit) and saves_on_request(facts)
        config.update({"use_graceful_exit": True} if saves else {})  # versions before 1.5 do not know the key
        config["callbacks"] = _callbacks(save_steps(profile, facts), graceful_exit if saves else "")
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def _processor(tokenizer_model: str) -> dict[str, Any]:
    tokenizer = {
        "type": "LlamaTokenizer",
        "vocab_file": tokenizer_model,
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<unk>",
    }
    return {"return_tensors": "ms", "tokenizer": tokenizer, "type": "LlamaProcessor"}


def _parallel(profile: Profile, cpu: bool) -> dict[str, Any]:
    workers = profile.nodes.worker_num
    return {
        "parallel": {
            # semi-auto parallel (1) kills the workers on CPU without a message
            "parallel_mode": 0 if cpu else 1,
            "gradients_mean": cpu,
            "full_batch": not cpu,
            "enable_parallel_optimizer": not cpu,
            "enable_alltoall": False,
            "search_mode": "sharding_propagation",
            "strategy_ckpt_save_file": "./ckpt_strategy.ckpt",
        },
        "parallel_config": {
            "data_parallel": workers,
            "model_parallel": 1,
            "pipeline_stage": 1,
            "micro_batch_num": 1,
            "vocab_emb_dp": True,
            "gradient_aggregation_group": 4,
        },
        "micro_batch_interleave_num": 1,
        "recompute_config": {"recompute": not cpu, "select_recompute": False},
    }


def _context(profile: Profile, cpu: bool) -> dict[str, Any]:
    context: dict[str, Any] = {
        "mode": 0,
        "device_target": profile.environment.device_target,
        "enable_graph_kernel": False,
        "max_call_depth": 10000,
        "save_graphs": False,
        "device_id": 0,
    }
    if not cpu:
        context["max_device_memory"] = "58GB"
    return context


def _model(profile: Profile, model: ModelConfig, cpu: bool) -> dict[str, Any]:
    compute = "float32" if cpu else "bfloat16"
    config: dict[str, Any] = {
        "type": "LlamaConfig",
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
    return {"model_config": config, "arch": {"type": "LlamaForCausalLM"}}


def _optimization(profile: Profile, traits: StackTraits, cpu: bool) -> dict[str, Any]:
    training = profile.training
    betas: dict[str, Any] = {"betas": [0.9, 0.95]} if traits.betas_as_list else {"beta1": 0.9, "beta2": 0.999}
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
            "type": traits.optimizer,
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


def _datasets(profile: Profile, run_mode: RunMode, mindrecord: str) -> dict[str, Any]:
    common: dict[str, Any] = {
        "input_columns": ["input_ids", "labels"],
        "num_parallel_workers": 1 if profile.environment.device_target == "CPU" else 8,
        "python_multiprocessing": False,
        "batch_size": profile.training.batch_size,
        "repeat": 1,
        "numa_enable": False,
        "prefetch_size": 1,
    }
    loader = {"type": "MindDataset", "dataset_dir": mindrecord}
    if run_mode == "finetune":
        train = {**common, "data_loader": {**loader, "shuffle": True}, "drop_remainder": True}
        return {
            "train_dataset": train,
            "train_dataset_task": {"type": "CausalLanguageModelDataset", "dataset_config": deepcopy(train)},
        }
    evaluation = {
        **common,
        "data_loader": {**loader, "shuffle": False},
        "batch_size": 1,
        "drop_remainder": is_distributed(profile, run_mode),
    }
    return {
        "eval_dataset": evaluation,
        "eval_dataset_task": {"type": "CausalLanguageModelDataset", "dataset_config": deepcopy(evaluation)},
    }


def _callbacks(every: int, graceful_exit: str) -> list[dict[str, Any]]:
    callbacks: list[dict[str, Any]] = [
        {"type": "MFLossMonitor"},
        {
            "type": "CheckpointMonitor",
            "prefix": CHECKPOINT_PREFIX,
            "save_checkpoint_steps": every,
            "keep_checkpoint_max": 3,
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
