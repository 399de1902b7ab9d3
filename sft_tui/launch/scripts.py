"""The plan as shell scripts, one for each node and one for the whole: for clusters where jobs of ours are not wanted.

Training and evaluation need no sft-tui: the launcher of MindFormers and the YAML files lie beside the scripts. Only
`prepare.sh`, run once, calls sft-tui for the conversions.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Sequence

from sft_tui.core.plan import Plan, Step

_HEAD = ("#!/usr/bin/env bash", "set -euo pipefail")
_HERE = 'here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)'
LAUNCH_FOLDER = "launch"
_WAIT_FOR_ONE = "wait -n || { failed=1; jobs -p | xargs -r kill 2>/dev/null || true; }"
# $SLURM_NODEID is each task's own
_SLURM_TASK = "'NODE_RANK=$SLURM_NODEID exec bash \"$1/node_$SLURM_NODEID.sh\"'"


@dataclass(frozen=True)
class ScriptNode:
    """A host, in the order of node_rank; `ssh` are the words that run a command there, none for this host."""

    local_worker_num: int
    ssh: tuple[str, ...] = ()


def build_scripts(plan: Plan, package_dir: str, nodes: Sequence[ScriptNode], master_addr: str) -> dict[str, str]:
    """File name -> text. `nodes` with one entry: this host alone."""
    writer = _Writer(plan, package_dir, tuple(nodes), master_addr)
    scripts = {"prepare.sh": writer.prepare(), "run_all.sh": writer.run_all(), "slurm.sbatch": writer.slurm()}
    scripts.update({f"node_{rank}.sh": writer.node(rank) for rank in range(len(nodes))})
    return scripts


class _Writer:
    def __init__(self, plan: Plan, package_dir: str, nodes: tuple[ScriptNode, ...], master_addr: str) -> None:
        self._plan = plan
        self._nodes = nodes
        self._package_dir = package_dir
        self._master_addr = master_addr
        words = [word for step in plan.steps for word in (*step.argv, *step.env.values())]
        self._mark = "@HERE"
        while any(self._mark in word for word in words):
            self._mark += "@"

    def _steps(self, *, trained: bool) -> list[Step]:
        wanted = [step for step in self._plan.steps if not step.not_needed]
        return [step for step in wanted if ("--run_mode" in step.argv) == trained]

    def prepare(self) -> str:
        """Everything before training that sft-tui itself does."""
        lines = [*_HEAD, f"# Profile {_line(self._plan.profile)}: weights and data. Run it once, on one node."]
        for step in self._steps(trained=False):
            if step.id != "summary":
                lines += ["", *_run(step, step.command)]
        return _text(lines)

    def node(self, rank: int) -> str:
        """Training on one node."""
        [step] = [step for step in self._steps(trained=True) if step.id == "train"]
        lines = [
            *_HEAD,
            f"# Profile {_line(self._plan.profile)}: training on node {rank} of {len(self._nodes)}.",
            "# NODE_RANK and MASTER_ADDR of the environment go before what stands here.",
            _HERE,
            f'node_rank="${{NODE_RANK:-{rank}}}"',
            f'master_addr="${{MASTER_ADDR:-{self._master_addr}}}"',
            ': "$node_rank" "$master_addr"',
            *self._files(step),
            "",
            *_run(step, self._command(step, self._nodes[rank])),
        ]
        return _text(lines)

    def run_all(self) -> str:
        """The whole, from one node; the others are reached by ssh, and find these scripts in the same folder."""
        title = f"# Profile {_line(self._plan.profile)}: everything, started on node 0."
        lines = [*_HEAD, title, _HERE, "", 'bash "$here/prepare.sh"']
        for step in self._steps(trained=True):
            if step.id != "train":
                lines += ["", *self._files(step), *_run(step, self._command(step, None))]
                continue
            lines += ["", "# Train: all nodes at once; the first that fails ends the script"]
            for rank, node in enumerate(self._nodes):
                start = f'bash "$here/node_{rank}.sh"'
                if node.ssh:
                    # printf %q: the folder's name goes through the shell of the other host
                    start = f'{shlex.join(node.ssh)} "bash $(printf %q "$here/node_{rank}.sh")"'
                lines += [f"{start} &"]
            lines += ["failed=0", *[_WAIT_FOR_ONE] * len(self._nodes), '[ "$failed" = 0 ]']
        for step in self._steps(trained=False):
            if step.id == "summary":
                lines += ["", *_run(step, step.command)]
        return _text(lines)

    def slurm(self) -> str:
        """The same for Slurm: one task on each node."""
        count = len(self._nodes)
        workers = max(node.local_worker_num for node in self._nodes)
        lines = [
            _HEAD[0],
            f"#SBATCH --job-name={_word(self._plan.profile)}",
            f"#SBATCH --nodes={count}",
            "#SBATCH --ntasks-per-node=1",
            f"#SBATCH --output={_word(self._plan.profile)}-%j.log",
            f"# Add what your cluster wants: partition, account, NPUs (#SBATCH --gres=npu:{workers}), time.",
            "# Submit it from the folder of these scripts, which all nodes see; run prepare.sh before.",
            _HEAD[1],
            'here="${SLURM_SUBMIT_DIR:?submit this with sbatch}"',
            'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "export MASTER_ADDR",
            "# shellcheck disable=SC2016 # the task expands it",
            f'srun --kill-on-bad-exit=1 bash -c {_SLURM_TASK} - "$here"',
        ]
        return _text(lines)

    def _files(self, step: Step) -> list[str]:
        """Put the YAML of a step in its place."""
        lines = []
        for file in self._plan.files:
            if file.path in step.argv:
                folder, name = str(PurePosixPath(file.path).parent), PurePosixPath(file.path).name
                lines += [f"mkdir -p {shlex.quote(folder)}", f'cp "$here"/{shlex.quote(name)} {shlex.quote(file.path)}']
        return lines

    def _command(self, step: Step, node: ScriptNode | None) -> str:
        """The step's command with the launcher that lies here, and with what differs between nodes."""
        changed = {}
        if node is not None:
            changed = {
                "--worker_num": str(sum(item.local_worker_num for item in self._nodes)),
                "--local_worker_num": str(node.local_worker_num),
            }
        argv = []
        for word in step.whole_argv:
            name = word.partition("=")[0]
            if PurePosixPath(step.argv[0]).name == "msrun" and name in changed:
                word = f"{name}={changed[name]}"
            elif word == f"{self._package_dir}/launch/runner.py" or word == f"{self._package_dir}/launch/cpu":
                word = self._mark + word[len(self._package_dir) :]
            elif node is not None and name == "--master_addr":
                word = f"--master_addr={self._mark}M"
            elif node is not None and name == "--node_rank":
                continue
            argv.append(word)
            if name == "--master_addr" and len(self._nodes) > 1 and node is not None:
                argv.append(f"--node_rank={self._mark}R")
        command = step.model_copy(update={"argv": tuple(argv), "resume": ()}).command
        return (
            command.replace(f"{self._mark}M", '"$master_addr"')
            .replace(f"{self._mark}R", '"$node_rank"')
            .replace(self._mark, '"$here"')
        )


def _run(step: Step, command: str) -> list[str]:
    return [
        f"# {_line(step.title)}",
        f"mkdir -p {shlex.quote(step.cwd)}",
        *([f"rm -f {shlex.quote(step.graceful_exit)}"] if step.graceful_exit else []),
        f"(cd {shlex.quote(step.cwd)} && {command})",
    ]


def _line(text: str) -> str:
    """A text that cannot leave its comment."""
    return " ".join(text.split())


def _word(text: str) -> str:
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in text)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
