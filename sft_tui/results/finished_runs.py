"""Finds the runs of a profile that have left a summary, whatever the profile's run is called by now."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

from sft_tui.errors import SftError
from sft_tui.files.small_file import read_small_object
from sft_tui.results.summary import SUMMARY_SCHEMA_VERSION, RunSummary, newest_checkpoint
from sft_tui.store.job_store import list_jobs

JOBS_LOOKED_AT = 200  # the newest
MOST_RUNS = 50


@dataclass(frozen=True)
class FinishedRun:
    """One run: its name, when its summary was written (seconds since the epoch), and what that says."""

    name: str
    ended_at: float
    summary: RunSummary


def find_runs(profile: str, work_dir: Path, jobs_dir: Path) -> tuple[FinishedRun, ...]:
    """The finished runs of a profile, the newest first: those of its jobs, and those in its working folder.

    A run in that folder that another profile's job has made is that profile's.
    """
    owners = _owners(jobs_dir)
    paths = {path for path, owner in owners.items() if owner == profile}
    with contextlib.suppress(OSError):
        paths |= {path for path in work_dir.glob("runs/*/summary.json") if owners.get(path, profile) == profile}
    found = []
    for path in paths:
        summary = load_summary(path)
        if summary is not None:
            with contextlib.suppress(OSError):
                found.append(FinishedRun(path.parent.name, path.stat().st_mtime, summary))
    return tuple(sorted(found, key=lambda run: (run.ended_at, run.name), reverse=True)[:MOST_RUNS])


def _owners(jobs_dir: Path) -> Dict[Path, str]:
    """The profile of the newest job that writes a summary there, by the summary."""
    owners: Dict[Path, str] = {}
    for folder in list_jobs(jobs_dir)[-JOBS_LOOKED_AT:]:
        with contextlib.suppress(SftError):  # damaged, or of a later version
            plan = folder.load_spec().plan
            for step in plan.steps:
                if step.id == "summary":
                    owners.update({Path(output.path): plan.profile for output in step.outputs})
    return owners


def _is_of(summary: Path, checkpoint: Path) -> bool:
    """Whether a summary came after its checkpoint, where MindFormers writes all of them under one name."""
    return not checkpoint.stem.endswith("-network") or checkpoint.stat().st_mtime <= summary.stat().st_mtime


def load_summary(path: Path) -> Optional[RunSummary]:
    """The summary that the last step of a job wrote, or None: there is none, or it is of another checkpoint."""
    try:
        data = read_small_object(path)
        data.pop("gained", None)
        if data.get("schema_version") != SUMMARY_SCHEMA_VERSION:
            return None
        summary = RunSummary(**data)
        newest = newest_checkpoint(path.parent / "checkpoint_network")
        # a later training has left another checkpoint, or one of the same name: what is written here is not about that
        return summary if newest is not None and str(newest) == summary.checkpoint and _is_of(path, newest) else None
    except (OSError, TypeError, AttributeError, SftError):
        return None
