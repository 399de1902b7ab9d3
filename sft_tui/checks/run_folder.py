"""Keeps a run's folder from being written by a plan with other settings, and proposes the next free name."""

from __future__ import annotations

import itertools
import os
import re

from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.launch.plan.other_run import find_other_run
from sft_tui.launch.plan.work_paths import WorkPaths, work_paths

FIELD = "training.run_name"


def check_run_folder(profile: Profile, plan: Plan, *, into: bool = False) -> list[Problem]:
    """The folder of the run is free, or holds a run of these very settings; `into`: another one may be written over.

    A run that never came to train counts for nothing.
    """
    other = find_other_run(plan)
    if other is None:
        return []
    if into:
        return [Problem(FIELD, other.message, "Its summary and YAML are replaced, its checkpoints stay.", "warning")]
    name = next_run_name(work_paths(profile))
    hint = f"Name this one {name}, or let it be written over: sft-tui run {profile.name} --into."
    return [Problem(FIELD, other.message, hint, proposal=name)]


def next_run_name(paths: WorkPaths) -> str:
    """The first free name after that of a run: run1 -> run2."""
    found = re.fullmatch(r"(.*?)(\d*)", paths.run_name)
    stem, number = (found[1], found[2]) if found else (paths.run_name, "")
    for follows in itertools.count(int(number or 1) + 1):
        name = f"{stem}{follows}" if number else f"{stem}-{follows}"
        if not os.path.lexists(f"{paths.work_dir}/runs/{name}"):
            return name
    raise AssertionError("counting does not end")
