"""Which lines of a base YAML the profile changes; all others stay as MindFormers wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_tui.core.memory.estimate import GIB, known_limit
from sft_tui.launch.yaml.base_yaml import ABSENT

_WHOLE = (
    "seed", "output_dir", "load_checkpoint", "auto_trans_ckpt", "src_strategy_path_or_dir", "resume_training",
    "run_mode", "use_parallel", "use_graceful_exit",
)  # fmt: skip
_IF_THERE = ("load_ckpt_format", "do_eval", "auto_tune")
# a section -> the keys that are the profile's; the rest of the section is the base's
_PARTS: dict[str, tuple[str, ...]] = {
    "runner_config": ("epochs", "batch_size", "sink_mode", "sink_size", "gradient_accumulation_steps"),
    "parallel": ("enable_parallel_optimizer",),
    "parallel_config": ("data_parallel", "model_parallel", "pipeline_stage", "micro_batch_num"),
    "recompute_config": ("recompute",),
    "context": ("device_target",),
    "optimizer": ("weight_decay",),
    "lr_schedule": ("learning_rate", "warmup_ratio"),
    "runner_wrapper": ("use_clip_grad", "max_grad_norm"),
}
_MODEL = (
    "batch_size", "seq_length", "hidden_size", "num_layers", "num_heads", "n_kv_heads", "vocab_size",
    "intermediate_size", "rms_norm_eps", "theta", "bos_token_id", "eos_token_id", "pad_token_id", "ignore_token_id",
    "use_past", "checkpoint_name_or_path",
)  # fmt: skip
# what only NPUs have: on CPU these sections are ours as a whole
_DEVICE_SECTIONS = ("parallel", "parallel_config", "micro_batch_interleave_num", "recompute_config", "runner_wrapper")
_DEVICE_MODEL = (
    "compute_dtype", "layernorm_compute_type", "softmax_compute_type", "rotary_dtype", "param_init_type",
    "use_flash_attention", "fused_rms_norm", "use_rope_slice",
)  # fmt: skip


def choose_changes(base: Mapping[str, Any], ours: Mapping[str, Any], *, memory_gb: float) -> dict[str, Any]:
    """The part of the YAML built from the profile (`ours`) that goes into the base.

    The base keeps its types, optimizer, schedule, fusions and callbacks, and a `max_device_memory` that the device has.
    """
    cpu = ours["context"]["device_target"] == "CPU"
    defaults = {**ours, "auto_tune": False}
    changes = {key: defaults[key] for key in _WHOLE if key in defaults}
    changes.update({key: defaults[key] for key in _IF_THERE if key in base})
    for section, keys in _PARTS.items():
        known = isinstance(base.get(section), Mapping) and not (cpu and section in _DEVICE_SECTIONS)
        changes[section] = {
            key: ours[section][key] for key in (keys if known else ours[section]) if key in ours[section]
        }
    if "gradient_accumulation_steps" in (base.get("runner_config") or {}):
        changes["runner_config"].setdefault("gradient_accumulation_steps", 1)
    for key in ("trainer", "processor", "metric", *(_DEVICE_SECTIONS if cpu else ())):
        if cpu or key not in base:
            changes[key] = ours[key]
    if "processor" in base:
        changes["processor"] = {"tokenizer": {"vocab_file": ours["processor"]["tokenizer"]["vocab_file"]}}
    if "learning_rate" in (base.get("optimizer") or {}):
        changes["optimizer"]["learning_rate"] = ours["optimizer"]["learning_rate"]
    changes["context"].update(choose_memory(base, ours, memory_gb))
    if cpu or "train_dataset" not in ours:
        # MindFormers compiles with it for training on NPUs alone: elsewhere its level O1 is an error
        changes["context"]["jit_config"] = ABSENT
    changes["model"] = _model(base, ours, cpu)
    changes.update(_datasets(base, ours, cpu))
    changes["callbacks"] = _callbacks(base.get("callbacks"), ours["callbacks"])
    return changes


def choose_memory(base: Mapping[str, Any], ours: Mapping[str, Any], memory_gb: float) -> dict[str, Any]:
    """A change of `max_device_memory`, where the base has none or more than the device has."""
    mine = ours["context"].get("max_device_memory", ABSENT)
    limit = known_limit(str((base.get("context") or {}).get("max_device_memory", "")))
    if mine is not ABSENT and limit is not None and limit <= memory_gb * GIB:
        return {}
    return {"max_device_memory": mine}


def _model(base: Mapping[str, Any], ours: Mapping[str, Any], cpu: bool) -> dict[str, Any]:
    mine = ours["model"]["model_config"]
    theirs = (base.get("model") or {}).get("model_config") or {}
    if not theirs:
        return dict(ours["model"])
    keys = (*_MODEL, *(_DEVICE_MODEL if cpu else ()))
    changed = {key: mine[key] for key in keys if key in mine}
    # left out in the base, they have these values already
    for key, default in (("n_kv_heads", mine["num_heads"]), ("theta", 10000.0)):
        if key not in theirs and mine[key] == default:
            del changed[key]
    if cpu and "embedding_init_type" in theirs:
        changed["embedding_init_type"] = mine["param_init_type"]
    changed["pet_config"] = mine.get("pet_config", ABSENT)
    return {"model_config": changed}


def _datasets(base: Mapping[str, Any], ours: Mapping[str, Any], cpu: bool) -> dict[str, Any]:
    name = "train_dataset" if "train_dataset" in ours else "eval_dataset"
    mine, task = ours[name], f"{name}_task"
    if name not in base or task not in base:
        return {name: mine, task: ours[task]}
    keys = ("data_loader", "input_columns", "batch_size", "drop_remainder")
    # more of them than the host has cores is an error
    changed = {key: mine[key] for key in (*keys, *(("num_parallel_workers",) if cpu else ()))}
    # where the task repeats the section by an alias, the same change is made to the same object
    return {name: changed, task: {"dataset_config": changed}}


def _callbacks(base: object, ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours; in another checkpoint format than .ckpt the fine-tuned weights would not be found."""
    theirs = [item for item in base if isinstance(item, Mapping)] if isinstance(base, list) else []
    formats = {item.get("type") for item in theirs if "checkpoint_format" in item}
    return [{**item, "checkpoint_format": "ckpt"} if item["type"] in formats else item for item in ours]
