"""Builds the changes that a run on the direct route makes to the installed MindFormers' own YAML.

These networks (`use_legacy: False`) read their sizes from the Hugging Face folder that `pretrained_model_dir` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_tui.launch.yaml.adapters import build_adapters
from sft_tui.launch.yaml.base_yaml import ABSENT, Whole
from sft_tui.launch.yaml.fields import put, rows_of
from sft_tui.launch.yaml.overlay import choose_memory
from sft_tui.launch.yaml.parts import build_callbacks
from sft_tui.launch.yaml.run_spec import RunSpec

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


def build_direct_changes(run: RunSpec) -> dict[str, Any]:
    """The changes to the base; where the run does not train it measures the held-out loss
    (`runtime/direct/held_out`)."""
    changes: dict[str, Any] = {}
    for row, value in rows_of(run):
        put(changes, row.key, value)
    changes["model"]["model_config"].update(_model(run))
    changes["context"].update(_context(run))
    changes.update(_datasets(run))
    if run.trains:
        changes["callbacks"] = [_as_safetensors(callback) for callback in build_callbacks(run)]
        return changes
    changes["calculate_per_token_loss"] = True
    if run.base.get("print_separate_loss"):  # parts of a loss that a training step would register
        changes["print_separate_loss"] = False
    changes["callbacks"] = Whole([{"type": "MFLossMonitor", "per_print_times": _NEVER}, {"type": "HeldOutLoss"}])
    changes["runner_wrapper"] = Whole({"type": "HeldOutCell"})
    return changes


def _model(run: RunSpec) -> dict[str, Any]:
    theirs = (run.base.get("model") or {}).get("model_config") or {}
    model: dict[str, Any] = {key: ABSENT for key in _OF_THE_FOLDER if key in theirs}
    model.update(_EXPERTS if run.facts.model.num_experts else {})
    dropout = run.profile.training.lora_dropout if run.trains else 0.0
    pet_config = {**build_adapters(run.profile, direct=True), "lora_dropout": dropout}
    model["pet_config"] = Whole(pet_config) if run.adapters else ABSENT
    if not run.trains:
        model.update(hidden_dropout=0.0, attention_dropout=0.0)
    for old, new in run.release.renamed.items():
        if old in theirs:
            model.update({old: ABSENT, new: theirs[old] == "float32"})
    return model


def _context(run: RunSpec) -> dict[str, Any]:
    if run.cpu:
        npu_only = ("max_device_memory", "memory_optimize_level", "jit_config", "ascend_config")
        return dict.fromkeys(npu_only, ABSENT)
    # a file beside MindFormers' programs, which the wheel lacks: naming it is an error where it is not
    return {**choose_memory(run), "ascend_config": {"parallel_speed_up_json_path": ABSENT}}


def _datasets(run: RunSpec) -> dict[str, Any]:
    """A MindRecord in the place of the data that the base downloads, of which it takes 2,000 records."""
    dataset: dict[str, Any] = {
        "input_columns": list(COLUMNS),
        "construct_args_key": list(COLUMNS),
        "data_loader": {"type": "MindDataset", "dataset_dir": run.mindrecord, "shuffle": run.trains},
        "num_parallel_workers": 1 if run.cpu else 8,
        "batch_size": run.profile.training.batch_size if run.trains else 1,
        "repeat": 1,
        "drop_remainder": True,
    }
    theirs = run.base.get("train_dataset")
    if isinstance(theirs, Mapping):
        loader = theirs.get("data_loader")
        if isinstance(loader, Mapping):
            dataset["data_loader"] = {**dict.fromkeys(loader, ABSENT), **dataset["data_loader"]}
        for key, value in (("python_multiprocessing", False), ("numa_enable", False), ("prefetch_size", 1)):
            dataset.setdefault(key, theirs.get(key, value))
    # where the task repeats the section by an alias, the same change is made to the same object
    task = {"type": "CausalLanguageModelDataset", "dataset_config": dataset}
    return {"train_dataset": dataset, "train_dataset_task": task}


def _as_safetensors(callback: dict[str, Any]) -> dict[str, Any]:
    return {**callback, "checkpoint_format": "safetensors"} if callback["type"] == "CheckpointMonitor" else callback
