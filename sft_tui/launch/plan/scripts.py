"""The plan as shell scripts, one for each node and one for the whole: for clusters where jobs of ours are not wanted.

Training and evaluation need no sft-tui: the launcher and the YAML files lie beside the scripts. Only `prepare.sh`, run
once, calls sft-tui for the conversions, and the last line of `run_all.sh` for the summary.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Sequence

from sft_tui.core.nodes import Launch, Node
from sft_tui.core.plan import Plan, PlannedFile, Step

RUNTIME_FOLDER = "launch/runtime"
AFTER_TRAINING = ("export", "summary")  # what sft-tui itself does then
_HEAD = ("#!/usr/bin/env bash", "set -euo pipefail")
_HERE = 'here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)'
_WAIT_FOR_ONE = "wait -n || { failed=1; jobs -p | xargs -r kill 2>/dev/null || true; }"
# $SLURM_NODEID is each task's own
_SLURM_TASK = "'NODE_RANK=$SLURM_NODEID exec bash \"$1/node_$SLURM_NODEID.sh\"'"
# what a node's environment may say instead
_OF_NODE = {"--node_rank": "NODE_RANK", "--master_addr": "MASTER_ADDR"}


@dataclass(frozen=True)
class _NodeScript:
    """A host: the words that run a command there (none for this one), and its steps with the files that they read."""

    ssh: tuple[str, ...]
    steps: dict[str, Step]
    files: dict[str, str]  # path there -> name beside the scripts


def build_scripts(plan: Plan, package_dir: str, launches: Sequence[Launch] = ()) -> dict[str, str]:
    """File name -> text, scripts and YAML files. `launches` are the steps that several nodes do together."""
    files: dict[str, str] = {}
    nodes = _nodes_of(plan, launches, files)
    writer = _Writer(plan, package_dir, nodes)
    scripts = {"prepare.sh": writer.prepare(), "run_all.sh": writer.run_all(), "slurm.sbatch": writer.slurm()}
    scripts.update({f"node_{rank}.sh": writer.node(rank) for rank in range(len(nodes))})
    return {**files, **scripts}


def _nodes_of(plan: Plan, launches: Sequence[Launch], files: dict[str, str]) -> list[_NodeScript]:
    """The nodes in the order of node_rank; `files` gets what their steps read."""
    if not launches:
        steps = {step.id: step for step in plan.steps if _is_launched(step) and not step.not_needed}
        names = {file.path: PurePosixPath(file.path).name for file in plan.files}
        files.update({names[file.path]: file.text for file in plan.files})
        return [_NodeScript((), steps, names)]
    nodes = []
    for rank, part in enumerate(launches[0].parts):
        names, steps = {}, {}
        for launch in launches:
            theirs = launch.parts[rank].plan
            steps[launch.step] = theirs.steps[0]
            for file in theirs.files:
                names[file.path] = f"node_{rank}_{PurePosixPath(file.path).name}"
                files[names[file.path]] = file.text
        nodes.append(_NodeScript(_ssh_words(part.node) if rank else (), steps, names))
    local = [step for step in plan.steps if _is_launched(step) and step.id not in nodes[0].steps]
    for file in _files_of(plan, local):
        files[PurePosixPath(file.path).name] = file.text
    return nodes


def _files_of(plan: Plan, steps: Sequence[Step]) -> list[PlannedFile]:
    return [file for file in plan.files if any(file.path in step.argv for step in steps)]


def _is_launched(step: Step) -> bool:
    return "--run_mode" in step.argv


def _ssh_words(node: Node) -> tuple[str, ...]:
    options = [word for option in node.options for word in ("-o", option)]
    port, identity = (["-p", str(node.port)] if node.port else []), ["-i", node.identity_file]
    target = f"{node.user}@{node.host}" if node.user else node.host
    return ("ssh", *options, *port, *(identity if node.identity_file else []), target)


class _Writer:
    def __init__(self, plan: Plan, package_dir: str, nodes: list[_NodeScript]) -> None:
        self._plan, self._package_dir, self._nodes = plan, package_dir, nodes
        steps = [*plan.steps, *(step for node in nodes for step in node.steps.values())]
        words = [word for step in steps for word in (*step.argv, *step.env.values(), *step.search_paths.values())]
        self._mark = "@HERE"
        while any(self._mark in word for word in words):
            self._mark += "@"

    def prepare(self) -> str:
        """Everything before training that sft-tui itself does."""
        lines = [*_HEAD, f"# Profile {_line(self._plan.profile)}: weights and data. Run it once, on one node."]
        for step in self._plan.steps:
            if not step.not_needed and not self._is_trained(step) and step.id not in AFTER_TRAINING:
                lines += ["", *_run(step, step.command)]
        return _text(lines)

    def node(self, rank: int) -> str:
        """What one node does: training, unless another step is named."""
        node = self._nodes[rank]
        lines = [
            *_HEAD,
            f"# Profile {_line(self._plan.profile)}, node {rank} of {len(self._nodes)}: node_{rank}.sh [STEP]",
            "# NODE_RANK and MASTER_ADDR of the environment go before what stands here.",
            _HERE,
            'case "${1:-train}" in',
        ]
        for step_id, step in node.steps.items():
            lines += [f"{step_id})", *self._place_files(step, node.files), *_run(step, self._command(step)), ";;"]
        lines += ['*) echo "there is no step $1" >&2; exit 2 ;;', "esac"]
        return _text(lines)

    def run_all(self) -> str:
        """The whole, from one node; the others are reached by ssh, and find these scripts in the same folder."""
        title = f"# Profile {_line(self._plan.profile)}: everything, started on node 0."
        lines = [*_HEAD, title, _HERE, "", 'bash "$here/prepare.sh"']
        names = {file.path: PurePosixPath(file.path).name for file in self._plan.files}
        for step in self._plan.steps:
            if step.not_needed or not (self._is_trained(step) or step.id in AFTER_TRAINING):
                continue
            if step.id not in self._nodes[0].steps:
                lines += ["", *self._place_files(step, names), *_run(step, self._command(step))]
                continue
            lines += ["", f"# {_line(step.title)}: all nodes at once; the first that fails ends the script"]
            for rank, node in enumerate(self._nodes):
                start = f'bash "$here/node_{rank}.sh" {step.id}'
                if node.ssh:
                    # printf %q: the folder's name goes through the shell of the other host
                    start = f'{shlex.join(node.ssh)} "bash $(printf %q "$here/node_{rank}.sh") {step.id}"'
                lines += [f"{start} &"]
            lines += ["failed=0", *[_WAIT_FOR_ONE] * len(self._nodes), '[ "$failed" = 0 ]']
        return _text(lines)

    def slurm(self) -> str:
        """Training for Slurm: one task on each node."""
        name = _word(self._plan.profile)
        lines = [
            _HEAD[0],
            f"#SBATCH --job-name={name}",
            f"#SBATCH --nodes={len(self._nodes)}",
            "#SBATCH --ntasks-per-node=1",
            f"#SBATCH --output={name}-%j.log",
            "# Add what your cluster wants: partition, account, NPUs (such as #SBATCH --gres=npu:8), time.",
            "# Submit it from the folder of these scripts, which all nodes see; run prepare.sh before.",
            _HEAD[1],
            'here="${SLURM_SUBMIT_DIR:?submit this with sbatch}"',
            'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "export MASTER_ADDR",
            "# shellcheck disable=SC2016 # the task expands it",
            f'srun --kill-on-bad-exit=1 bash -c {_SLURM_TASK} - "$here"',
        ]
        return _text(lines)

    def _is_trained(self, step: Step) -> bool:
        return _is_launched(step) or step.id in self._nodes[0].steps

    def _place_files(self, step: Step, names: dict[str, str]) -> list[str]:
        """Put the YAML of a step in its place."""
        lines = []
        for path in step.argv:
            if path in names:
                folder = shlex.quote(str(PurePosixPath(path).parent))
                lines += [f"mkdir -p {folder}", f'cp "$here"/{shlex.quote(names[path])} {shlex.quote(path)}']
        return lines

    def _command(self, step: Step) -> str:
        """The step's command with the launcher that lies here, and with what a node's environment may say."""
        argv, holes = [], {}
        for word in step.argv:
            name, _, value = word.partition("=")
            if word in (f"{self._package_dir}/launch/runtime/runner.py", f"{self._package_dir}/launch/runtime/cpu"):
                word = self._mark + word[len(self._package_dir) :]
            elif name in _OF_NODE and PurePosixPath(step.argv[0]).name == "msrun":
                word = f"{name}={self._mark}{_OF_NODE[name]}"
                holes[f"{self._mark}{_OF_NODE[name]}"] = f'"${{{_OF_NODE[name]}:-{shlex.quote(value)}}}"'
            argv.append(word)
        command = step.model_copy(update={"argv": tuple(argv), "resume": ()}).command
        for hole, text in holes.items():
            command = command.replace(hole, text)
        return command.replace(self._mark, '"$here"')


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
