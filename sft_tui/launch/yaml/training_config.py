"""Builds the MindFormers YAML of a run: a base YAML with the profile's changes, or one from `config.json`."""

from __future__ import annotations

from typing import Any

from sft_tui.launch.yaml.base_yaml import dump_new, merge_into_base, merge_values
from sft_tui.launch.yaml.direct_config import build_direct_changes
from sft_tui.launch.yaml.fields import put, rows_of
from sft_tui.launch.yaml.overlay import build_overlay
from sft_tui.launch.yaml.parts import build_datasets
from sft_tui.launch.yaml.run_spec import RunSpec


def build_training_yaml(run: RunSpec) -> str:
    """The YAML text of one run. Raises ValueError without a known release, or without the base of the direct route."""
    if run.facts.base_yaml:
        return merge_into_base(run.facts.base_yaml, _changes(run))
    return dump_new(_new_config(run))


def build_training_config(run: RunSpec) -> dict[str, Any]:
    """The content of that YAML. Raises ValueError as above."""
    return merge_values(run.facts.base_yaml, _changes(run)) if run.facts.base_yaml else _new_config(run)


def _changes(run: RunSpec) -> dict[str, Any]:
    _ = run.release
    return build_direct_changes(run) if run.facts.direct else build_overlay(run)


def _new_config(run: RunSpec) -> dict[str, Any]:
    _ = run.release
    if run.facts.direct:
        raise ValueError("facts without MindFormers' own YAML: examine must refuse them first")
    config: dict[str, Any] = {}
    for row, value in rows_of(run):
        put(config, row.key, value)
    saves = config.pop("use_graceful_exit", None)
    config.update(build_datasets(run))
    return config if saves is None else {**config, "use_graceful_exit": saves}
