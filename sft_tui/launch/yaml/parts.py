"""Builds the sections of a MindFormers YAML that are more than one value: datasets and callbacks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sft_tui.launch.yaml.run_spec import RunSpec, save_steps

CHECKPOINT_PREFIX = "sft"
CPU_TRAIN_CELL = "train_one_step.CpuTrainOneStepCell"
KEPT_CHECKPOINTS = 3


def build_loss_scale(run: RunSpec) -> dict[str, Any]:
    """scale_sense of the training cell."""
    return {
        "type": "DynamicLossScaleUpdateCell",
        "loss_scale_value": run.network.loss_scale,
        "scale_factor": 2,
        "scale_window": 1000,
    }


def build_datasets(run: RunSpec) -> dict[str, Any]:
    """train_dataset or eval_dataset, with its task."""
    dataset: dict[str, Any] = {
        "input_columns": _input_columns(run),
        "num_parallel_workers": 1 if run.cpu else 8,
        "python_multiprocessing": False,
        "batch_size": run.profile.training.batch_size if run.trains else 1,
        "repeat": 1,
        "numa_enable": False,
        "prefetch_size": 1,
        "data_loader": {"type": "MindDataset", "dataset_dir": run.mindrecord, "shuffle": run.trains},
        "drop_remainder": run.trains or run.parallel,
    }
    name = "train_dataset" if run.trains else "eval_dataset"
    task = {"type": "CausalLanguageModelDataset", "dataset_config": deepcopy(dataset)}
    return {name: dataset, f"{name}_task": task}


def _input_columns(run: RunSpec) -> list[str]:
    """What the network takes. Rows of plain text may have no labels: then each token is one."""
    text = run.facts.text
    return [name for name in ("input_ids", "labels") if text is None or name in text.columns]


def build_callbacks(run: RunSpec) -> list[dict[str, Any]]:
    """callbacks of a training: losses, checkpoints, and the request to end. An evaluation has none."""
    if not run.trains:
        return []
    callbacks: list[dict[str, Any]] = [
        {"type": "MFLossMonitor"},
        {
            "type": "CheckpointMonitor",
            "prefix": CHECKPOINT_PREFIX,
            "save_checkpoint_steps": save_steps(run.profile, run.facts),
            "keep_checkpoint_max": KEPT_CHECKPOINTS,
            "integrated_save": False,
            "async_save": False,
            # the weights alone, without optimizer state: what one evaluates and serves
            "save_network_params": True,
        },
    ]
    if run.exit_file:
        # with save_ckpt it would load its own file at the start of every later run; CheckpointMonitor saves as well
        callbacks.append(
            {"type": "OnRequestExit", "save_ckpt": False, "save_mindir": False, "config_file": run.exit_file}
        )
    return callbacks
