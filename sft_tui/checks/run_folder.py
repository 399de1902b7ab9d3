"""Keeps a run's folder from being written by a plan with other settings, and proposes the next free name."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Iterator

from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_text
from sft_tui.launch.plan.work_paths import WorkPaths, work_paths
from sft_tui.launch.yaml.base_yaml import parse_base

FIELD = "training.run_name"
_SHOWN = 3


def check_run_folder(profile: Profile, plan: Plan, *, into: bool = False) -> list[Problem]:
    """The folder of the run is free, or holds a run of these very settings; `into`: another one may be written over.

    A run that never came to train counts for nothing.
    """
    paths = work_paths(profile)
    planned = next((file.text for file in plan.files if file.path == paths.config("train")), "")
    try:
        there = read_small_text(Path(paths.config("train")))
    except (OSError, InvalidInputError):
        return []
    if there == planned or not _has_trained(paths):
        return []
    differing = list(itertools.islice(_differences(there, planned), _SHOWN + 1))
    shown = ", ".join(differing[:_SHOWN]) + (" and more" if len(differing) > _SHOWN else "")
    message = f"{paths.run_dir} holds a run with other settings" + (f" ({shown})." if shown else ".")
    if into:
        return [Problem(FIELD, message, "Its summary and YAML are replaced, its checkpoints stay.", "warning")]
    name = next_run_name(paths)
    hint = f"Name this one {name}, or let it be written over: sft-tui run {profile.name} --into."
    return [Problem(FIELD, message, hint, proposal=name)]


def next_run_name(paths: WorkPaths) -> str:
    """The first free name after that of a run: run1 -> run2."""
    found = re.fullmatch(r"(.*?)(\d*)", paths.run_name)
    stem, number = (found[1], found[2]) if found else (paths.run_name, "")
    for follows in itertools.count(int(number or 1) + 1):
        name = f"{stem}{follows}" if number else f"{stem}-{follows}"
        if not os.path.lexists(f"{paths.work_dir}/runs/{name}"):
            return name
    raise AssertionError("counting does not end")


def _has_trained(paths: WorkPaths) -> bool:
    """Whether a training left something there: a summary, or a checkpoint of any rank."""
    if Path(paths.summary).exists():
        return True
    folders = [Path(folder) for folder in (paths.checkpoints, paths.finetuned)]
    return any(next(folder.glob("rank_*/*"), None) is not None for folder in folders)


def _differences(one: str, other: str) -> Iterator[str]:
    """The keys, as `runner_config.epochs`, in which two YAML files differ."""
    try:
        old, new = (dict(_flat(parse_base(text))) for text in (one, other))
    except InvalidInputError:
        return
    yield from (key for key in {**old, **new} if old.get(key) != new.get(key))


def _flat(content: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
