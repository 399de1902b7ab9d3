"""Tells whether the folder of a plan's run holds one with other settings, and which settings these are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

from sft_tui.core.plan import TRAIN_YAML, Plan
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_text
from sft_tui.launch.plan.work_paths import WorkPaths

_SHOWN = 3


@dataclass(frozen=True)
class OtherRun:
    """A run that has trained with other settings; `differing`: keys of its YAML, as `runner_config.epochs`."""

    folder: str
    differing: tuple[str, ...]

    @property
    def message(self) -> str:
        """In one sentence."""
        shown = ", ".join(self.differing[:_SHOWN]) + (" and more" if len(self.differing) > _SHOWN else "")
        return f"{self.folder} holds a run with other settings" + (f" ({shown})." if shown else ".")


def find_other_run(plan: Plan) -> Optional[OtherRun]:
    """The run that the plan would mix with its own; None too where one never came to train, for that counts nothing."""
    folder = plan.run_folder
    planned = next((file.text for file in plan.files if file.path == f"{folder}{TRAIN_YAML}"), "")
    try:
        there = read_small_text(Path(f"{folder}{TRAIN_YAML}")) if folder else planned
    except (OSError, InvalidInputError):
        return None
    if there == planned or not _has_trained(folder):
        return None
    return OtherRun(folder, tuple(itertools.islice(_differences(there, planned), _SHOWN + 1)))


def _has_trained(folder: str) -> bool:
    """Whether a training left something there: a summary, or a checkpoint of any rank."""
    run = Path(folder)
    paths = WorkPaths(str(run.parent.parent), run.name, "")
    if Path(paths.summary).exists():
        return True
    folders = [Path(folder) for folder in (paths.checkpoints, paths.finetuned)]
    return any(next(folder.glob("rank_*/*"), None) is not None for folder in folders)


def _differences(one: str, other: str) -> Iterator[str]:
    from sft_tui.launch.yaml.base_yaml import parse_base  # seldom needed, and a supervisor starts with each job

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
