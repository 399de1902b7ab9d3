"""doctor: what is installed, and what does not fit."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import psutil

from sft_tui.checks import check_environment
from sft_tui.cluster.preflight import Matrix, table_lines
from sft_tui.commands.nodes import look_at_nodes
from sft_tui.commands.profiles import exit_code, load_valid
from sft_tui.commands.report import print_json, print_problems, say
from sft_tui.commands.run import plan_of
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Environment, Profile
from sft_tui.core.terminal_text import short_size
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.stack.probe import probe_environment


def run_doctor(arguments: argparse.Namespace) -> int:
    """`sft-tui doctor`: exit code 4 when training is not possible here."""
    profile = _profile(arguments.profile)
    facts = probe_environment(profile.environment.python, profile.environment.mindformers_home)
    if not arguments.profile and not facts.npu_smi:
        # without NPUs the question is whether a rehearsal is possible
        profile = Profile(name="doctor", environment=Environment(device_target="CPU"))
    problems = tuple(check_environment(profile, facts))
    disk = shutil.disk_usage(Path.home())
    host = {
        "cores": psutil.cpu_count(),
        "memory_total": psutil.virtual_memory().total,
        "memory_available": psutil.virtual_memory().available,
        "disk_free": disk.free,
    }
    matrix = None
    if profile.nodes.hosts and exit_code(problems) == 0:
        matrix, more = _look_at_nodes(arguments.profile)
        problems += tuple(p for p in more if p not in problems)
    code = exit_code(problems)
    if matrix is not None and not matrix.fits:
        code = EnvironmentNotFitError.exit_code
    if arguments.json:
        answer = {"environment": asdict(facts), "host": host, "problems": [p.to_json() for p in problems]}
        nodes = {"nodes": [asdict(finding) for finding in matrix.findings]} if matrix is not None else {}
        print_json({**answer, **nodes})
        return code
    for name, value in _rows(facts):
        say(f"{name:22} {value or 'not found'}")
    say(f"{'cores':22} {host['cores']}")
    say(f"{'memory':22} {short_size(psutil.virtual_memory().available)} available")
    say(f"{'disk of home folder':22} {short_size(disk.free)} free")
    print_problems(problems)
    if matrix is not None:
        for line in table_lines(matrix):
            say(line)
    if code == 0:
        say(f"Fit for training on {profile.environment.device_target}.")
    return code


def _look_at_nodes(name: str) -> tuple[Optional[Matrix], tuple[Problem, ...]]:
    """All nodes of the profile, if it is whole enough to tell what they would have to do; else what it lacks."""
    plan, problems = plan_of(name)
    return (look_at_nodes(plan), ()) if plan is not None else (None, problems)


def _profile(name: str) -> Profile:
    if not name:
        return Profile(name="doctor")
    profile, problems = load_valid(name)
    if profile is None:
        raise InvalidInputError(
            f"Profile {name} is not valid: {problems[0].field}: {problems[0].message}", problems[0].hint
        )
    return profile


def _rows(facts: EnvironmentFacts) -> list[tuple[str, str]]:
    home = f" (from {facts.mindformers_home})" if facts.mindformers_home else ""
    return [
        ("training interpreter", facts.python),
        ("Python", facts.python_version),
        ("MindSpore", facts.mindspore),
        ("MindFormers", facts.mindformers_version + home if facts.mindformers_version else ""),
        ("msrun", facts.msrun),
        ("CANN", facts.cann),
        ("Ascend driver", facts.driver),
        ("npu-smi", facts.npu_smi),
    ]
