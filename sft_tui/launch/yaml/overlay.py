"""Builds the changes that a run on the checkpoint route makes to a base YAML; all else stays as MindFormers has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_tui.core.memory.estimate import GIB, known_limit
from sft_tui.launch.yaml.base_yaml import ABSENT
from sft_tui.launch.yaml.fields import MODEL, YamlField, has, put, rows_of
from sft_tui.launch.yaml.parts import build_callbacks, build_datasets
from sft_tui.launch.yaml.run_spec import RunSpec

_LATE = ("trainer", "processor", "metric", "micro_batch_interleave_num", "model")


def build_overlay(run: RunSpec) -> dict[str, Any]:
    """The changes to the base.

    It keeps its types, optimizer, schedule, fusions and callbacks, and a `max_device_memory` that the device has.
    """
    base, changes = run.base, dict[str, Any]()
    rows = sorted(rows_of(run), key=lambda item: _place(item[0]))
    for row, value in rows:
        if row.key not in ("callbacks", "context.max_device_memory") and _is_written(row, base, run.cpu):
            put(changes, row.key, value)
    if "auto_tune" in base:
        changes["auto_tune"] = False
    if "gradient_accumulation_steps" in (base.get("runner_config") or {}):
        changes["runner_config"].setdefault("gradient_accumulation_steps", 1)
    changes["context"].update(choose_memory(run))
    if run.cpu or not run.trains:
        # MindFormers compiles with it for training on NPUs alone: elsewhere its level O1 is an error
        changes["context"]["jit_config"] = ABSENT
    _adapt_model(run, changes)
    changes.update(_datasets(run))
    changes["callbacks"] = _callbacks(run)
    return changes


def _place(row: YamlField) -> tuple[int, int]:
    """Where a key comes that the base lacks: as it always was, lest finished runs look changed."""
    section = row.key.partition(".")[0]
    if section not in _LATE:
        return int(section != row.key), 0
    # of the model what only NPUs have comes last
    return 2 + _LATE.index(section), int(section == "model" and row.device)


def _is_written(row: YamlField, base: Mapping[str, Any], cpu: bool) -> bool:
    if row.in_base == "if there" and "." not in row.key:
        return row.key in base
    if row.in_base == "on CPU":
        return cpu
    if "." not in row.key or row.in_base == "written" or (cpu and row.device):
        return True
    section = MODEL if row.key.startswith("model.") else row.key.partition(".")[0]
    found = _section(base, section)
    # a section that the base lacks, or that is empty for the model, is ours as a whole
    if found is None or (section == MODEL and not found):
        return True
    return row.in_base == "if there" and has(base, row.key)


def _section(base: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - a section, or None
    found: Any = base
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def choose_memory(run: RunSpec) -> dict[str, Any]:
    """A change of `max_device_memory`, where the base has none or more than the device has."""
    limit = known_limit(str((run.base.get("context") or {}).get("max_device_memory", "")))
    if run.cpu:
        return {"max_device_memory": ABSENT}
    if limit is not None and limit <= run.memory_gb * GIB:
        return {}
    return {"max_device_memory": run.memory_pool}


def _adapt_model(run: RunSpec, changes: dict[str, Any]) -> None:
    """What the base leaves out where it is MindFormers' default, and what it has besides."""
    theirs = (run.base.get("model") or {}).get("model_config") or {}
    if not theirs:
        return
    model = changes["model"]["model_config"]
    for key, default in (("n_kv_heads", run.facts.model.num_heads), ("theta", 10000.0)):
        if key not in theirs and key in model and model[key] == default:
            del model[key]
    if run.cpu and "embedding_init_type" in theirs:
        model["embedding_init_type"] = model["param_init_type"]
    model.setdefault("pet_config", ABSENT)


def _datasets(run: RunSpec) -> dict[str, Any]:
    ours = build_datasets(run)
    name, task = ours
    if name not in run.base or task not in run.base:
        return ours
    keys = ("data_loader", "input_columns", "batch_size", "drop_remainder")
    # more of them than the host has cores is an error
    changed = {key: ours[name][key] for key in (*keys, *(("num_parallel_workers",) if run.cpu else ()))}
    # where the task repeats the section by an alias, the same change is made to the same object
    return {name: changed, task: {"dataset_config": changed}}


def _callbacks(run: RunSpec) -> list[dict[str, Any]]:
    """Ours; in another checkpoint format than .ckpt the fine-tuned weights would not be found."""
    base = run.base.get("callbacks")
    theirs = [item for item in base if isinstance(item, Mapping)] if isinstance(base, list) else []
    formats = {item.get("type") for item in theirs if "checkpoint_format" in item}
    ours = build_callbacks(run)
    return [{**item, "checkpoint_format": "ckpt"} if item["type"] in formats else item for item in ours]
