"""Looks at all nodes at once, before a training starts on them: a matrix of nodes and checks."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Iterator, Optional

from sft_tui.cluster import node_checks, node_facts
from sft_tui.cluster.node_checks import CHECKS, NodeAnswer, NodeFinding
from sft_tui.cluster.node_messages import read_facts
from sft_tui.cluster.ssh import Ssh, SshError, is_this_host, run_all
from sft_tui.core.nodes import Launch, Node, NodePart

ANSWER_SECONDS: Final = 60.0
# which sft-tui that node has; then the questions, on stdin, to the training interpreter or another Python 3
_ASK: Final = """
py=$1 own=$2 package=$3
missing=
[ -x "$py" ] || { missing=1; py=python3; }
try() { out=$("$@" _node hello 2>/dev/null </dev/null) && [ -n "$out" ]; }
try "$own" "$package" || try "${py%/*}/sft-tui" || try sft-tui || try "$HOME/.local/bin/sft-tui" \
    || try "$py" "$package" || out=
exec "$py" - "$out" "$missing"
"""


@dataclass
class NodeMatrix:
    """What was found so far."""

    launch: Launch
    findings: list[NodeFinding] = field(default_factory=list)
    answers: dict[int, NodeAnswer] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Nothing forbids a start."""
        return not any(finding.verdict == "failed" for finding in self.findings)

    def row(self, rank: int) -> dict[str, NodeFinding]:
        """The findings of one node: of each check the worst."""
        worst: dict[str, NodeFinding] = {}
        for finding in self.findings:
            if finding.rank == rank and (finding.check not in worst or finding.weight > worst[finding.check].weight):
                worst[finding.check] = finding
        return worst


def examine_nodes(launch: Launch, ssh: Optional[Ssh] = None) -> Iterator[tuple[NodePart, NodeMatrix]]:
    """Ask all nodes; yields the matrix, one and the same, each time a node has been judged. Raises OSError."""
    ssh, matrix, waiting = ssh or Ssh(), NodeMatrix(launch), list[NodePart]()
    with _marker(launch) as (marker, token):
        here = _head(launch)
        asked = [here, *launch.parts]
        head: Optional[NodeAnswer] = None
        for part, answer, error in run_all(asked, lambda part: _ask(ssh, launch, part, marker)):
            if part is here:
                if error is not None:
                    raise error
                head = answer  # type: ignore[assignment]
            elif error is not None:
                matrix.findings += node_checks.describe_error(part, error)
                yield part, matrix
            else:
                matrix.answers[part.rank] = answer  # type: ignore[assignment]
                waiting.append(part)
            while head is not None and waiting:
                ready = waiting.pop(0)
                matrix.findings += node_checks.judge(launch, ready, matrix.answers[ready.rank], head, token)
                yield ready, matrix
    matrix.findings += _named_twice(matrix)


def _head(launch: Launch) -> NodePart:
    """This host, which all are compared with."""
    first = launch.parts[0]
    return first.model_copy(
        update={"rank": -1, "node": Node(host="localhost"), "python": launch.python, "work_dir": launch.work_dir}
    )


@contextlib.contextmanager
def _marker(launch: Launch) -> Iterator[tuple[str, str]]:
    """A file in the working folder, or where that will be: who can read it shares the disk."""
    folder, token = Path(launch.work_dir), secrets.token_hex(8)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    path = folder / f".sft-tui-shared-{token}"
    try:
        path.write_text(token, encoding="ascii")
    except OSError:
        yield "", ""  # then nothing is proven: files are compared
        return
    try:
        yield str(path), token
    finally:
        path.unlink(missing_ok=True)


def _ask(ssh: Ssh, launch: Launch, part: NodePart, marker: str) -> NodeAnswer:
    shares = part.work_dir == launch.work_dir
    request = {
        "files": [launch.path_on(part, path) for path in launch.inputs],
        "marker": marker if shares else "",
        "work_dir": part.work_dir,
        "mindformers_home": launch.mindformers_home,
        "master_addr": launch.master_addr,
        "master_port": launch.master_port,
        "is_master": part.rank == 0 or (part.rank < 0 and is_this_host(launch.parts[0].node)),
    }
    script = Path(node_facts.__file__).read_text(encoding="utf-8")
    call = f"\nmain({json.dumps(json.dumps(request))})\n"
    # with the same disk, or installed alike, sft-tui runs there as it does here
    words = ["sh", "-c", _ASK, "sh", part.python, sys.executable, launch.package_dir]
    begin, asked_at = time.monotonic(), time.time()
    out = ssh.run(part.node, words, stdin=script + call, timeout=ANSWER_SECONDS)
    took = time.monotonic() - begin
    try:
        answer = read_facts(out)
    except ValueError as error:
        raise SshError(
            "failed", f"{part.node.host} gave no answer that can be read: {error}.", "Look at its login files."
        ) from None
    return NodeAnswer(answer, skew=answer["time"] - (asked_at + took), took=took)


def _named_twice(matrix: NodeMatrix) -> list[NodeFinding]:
    machines = Counter(answer.facts["machine"] for answer in matrix.answers.values() if answer.facts["machine"])
    return [
        NodeFinding(
            part.rank, part.node.host, "rank", "failed", "another node of the list is the same host", "Name it once."
        )
        for part in matrix.launch.parts
        if part.rank in matrix.answers and machines[matrix.answers[part.rank].facts["machine"]] > 1
    ]


def examine_whole(launch: Launch, ssh: Optional[Ssh] = None) -> NodeMatrix:
    """The whole matrix, once all have answered. Raises SftError, OSError."""
    matrix = NodeMatrix(launch)
    for _, seen in examine_nodes(launch, ssh):
        matrix = seen
    return matrix


def table_lines(matrix: NodeMatrix) -> list[str]:
    """The matrix as text: a row for each node, and below it what is wrong."""
    names = {part.rank: part.node.host for part in matrix.launch.parts}
    width = max(len(name) for name in names.values()) + 8
    signs = {"ok": "ok", "warning": "!", "failed": "FAILED", "": "-"}
    lines = ["node".ljust(width) + " ".join(check.ljust(9) for check in CHECKS)]
    for rank, name in names.items():
        row = matrix.row(rank)
        cells = [signs[row[check].verdict if check in row else ""].ljust(9) for check in CHECKS]
        lines.append(f"{rank:>4}  {name}".ljust(width) + " ".join(cells))
    wrong = sorted((f for f in matrix.findings if f.verdict != "ok"), key=lambda f: f.rank)
    lines += [f"node {f.rank} ({f.host}), {f.check}: {f.text}. {f.hint}" for f in wrong]
    return [line.rstrip() for line in lines]
