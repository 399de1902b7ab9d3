"""doctor: what is installed, and what does not fit."""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import psutil

from sft_tui.checks.environment_and_data import check_environment
from sft_tui.cluster.node_matrix import NodeMatrix, table_lines
from sft_tui.commands._common.nodes import look_at_nodes
from sft_tui.commands._common.report import print_json, print_problems, say
from sft_tui.commands.plan import plan_of
from sft_tui.commands.profile import exit_code, load_valid
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Environment, Profile
from sft_tui.core.release import Release
from sft_tui.core.terminal_text import short_size
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.monitor.shared_npu_smi import look_at_npus
from sft_tui.monitor.snapshot import NpuSnapshot, NpuUnavailable
from sft_tui.stack.probe import probe_environment
from sft_tui.stack.routes import trained_families
from sft_tui.stack.source_tree import SourceTree, inspect_source_tree
from sft_tui.stack.verdict import judge

NPU_SECONDS = 5.0
PINS = ("transformers", "tokenizers", "sentencepiece", "pyarrow")


def run_doctor(arguments: argparse.Namespace) -> int:
    """`sft-tui doctor`: exit code 4 when training is not possible here."""
    profile = _profile(arguments.profile)
    found = _look(profile)
    if not arguments.profile and not found.facts.npu_smi:
        # without NPUs the question is whether a rehearsal is possible
        profile = Profile(name="doctor", environment=Environment(device_target="CPU"))
    problems = tuple(check_environment(profile, found.facts))
    matrix = None
    if profile.nodes.hosts and exit_code(problems) == 0:
        matrix, more = _look_at_nodes(arguments.profile)
        problems += tuple(p for p in more if p not in problems)
    code = exit_code(problems)
    if matrix is not None and not matrix.fits:
        code = EnvironmentNotFitError.exit_code
    if arguments.json:
        nodes = {"nodes": [asdict(finding) for finding in matrix.findings]} if matrix is not None else {}
        print_json({**found.to_json(), "problems": [p.to_json() for p in problems], **nodes})
        return code
    for line in found.lines():
        say(line)
    print_problems(problems)
    for line in table_lines(matrix) if matrix is not None else ():
        say(line)
    if code == 0:
        say(f"Fit for training on {profile.environment.device_target}.")
    return code


# what programs read of a release before its row held all that is known of it
_TRAITS = (
    "mindformers", "mindspore", "optimizer", "betas_as_list", "cpu", "graceful_exit", "transformers",
)  # fmt: skip


def _traits(release: Optional[Release]) -> Optional[dict[str, object]]:
    if release is None:
        return None
    return {**{name: getattr(release, name) for name in _TRAITS}, "cpu_workers": release.cpu}


@dataclass(frozen=True)
class _Found:
    """What is installed here, and how it fits together."""

    facts: EnvironmentFacts
    tree: Optional[SourceTree]
    snapshot: NpuSnapshot
    host: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """For programs."""
        reading = self.snapshot.reading
        return {
            "environment": {**asdict(self.facts), "traits": _traits(self.facts.release)},
            "source_tree": asdict(self.tree) if self.tree else None,
            "trains": trained_families(self.facts.mindformers_version),
            "verdicts": [asdict(verdict) for verdict in judge(self.facts)],
            "npus": [asdict(device) for device in self.snapshot.devices],
            "npu_smi": str(reading) if isinstance(reading, NpuUnavailable) else "",
            "host": self.host,
        }

    def lines(self) -> list[str]:
        """For people."""
        verdicts = {verdict.thing: verdict for verdict in judge(self.facts)}
        lines = []
        for name, value in _rows(self.facts):
            verdict = verdicts.get(name)
            fit = f"  [{verdict.word}{': ' + verdict.reason if verdict.reason else ''}]" if verdict else ""
            lines.append(f"{name:22} {value or 'not found'}{fit}")
        lines += _trained_rows(self.facts.mindformers_version)
        if self.tree:
            lines.append(f"{'its programs':22} {', '.join(self.tree.programs) or 'none'}")
            lines.append(f"{'its configurations':22} {', '.join(self.tree.configs) or 'none'}")
        return [
            *lines,
            *_npu_rows(self.snapshot),
            f"{'cores':22} {self.host['cores']}",
            f"{'memory':22} {short_size(self.host['memory_available'])} available",
            f"{'disk of home folder':22} {short_size(self.host['disk_free'])} free",
        ]


def _trained_rows(version: str) -> list[str]:
    """What the MindFormers that is installed trains, by the way it takes."""
    ways = {"checkpoint": "trains from a .ckpt", "direct": "trains from a folder"}
    return [f"{ways[route]:22} {', '.join(titles)}" for route, titles in trained_families(version).items() if titles]


def _look(profile: Profile) -> _Found:
    with ThreadPoolExecutor(1) as thread:  # npu-smi may take its time
        npus = thread.submit(lambda: look_at_npus(deadline_seconds=NPU_SECONDS).snapshot)
        facts = probe_environment(profile.environment.python, profile.environment.mindformers_home)
        tree = inspect_source_tree(Path(facts.mindformers_home)) if facts.mindformers_home else None
        snapshot = npus.result()
    memory = psutil.virtual_memory()
    host = {
        "cores": psutil.cpu_count() or 1,
        "memory_total": memory.total,
        "memory_available": memory.available,
        "disk_free": shutil.disk_usage(Path.home()).free,
    }
    return _Found(facts, tree, snapshot, host)


def _look_at_nodes(name: str) -> tuple[Optional[NodeMatrix], tuple[Problem, ...]]:
    """All nodes of the profile, if it is whole enough to tell what they would have to do; else what it lacks."""
    plan, problems = plan_of(name, into=True)  # of a run that lies there already no node has to know
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
        *((name, facts.packages.get(name, "")) for name in PINS),
    ]


def _npu_rows(snapshot: NpuSnapshot) -> list[str]:
    """How many NPUs of which kind, with how much memory; or why that cannot be told."""
    if isinstance(snapshot.reading, NpuUnavailable):
        return [f"{'NPUs':22} {snapshot.reading.reason}"]
    kinds = Counter((device.name or "NPU", device.main_memory_mb[1]) for device in snapshot.devices)
    sizes = {hbm: f" with {hbm / 1024:.0f} GB" if hbm else "" for _, hbm in kinds}
    text = ", ".join(f"{count} x {name}{sizes[hbm]}" for (name, hbm), count in kinds.items())
    busy = sum(bool(device.processes) for device in snapshot.devices)
    return [f"{'NPUs':22} {text or 'none'}" + (f", {busy} in use" if busy else "")]
