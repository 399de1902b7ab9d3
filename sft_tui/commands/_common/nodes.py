"""Runs the checks of all nodes of a plan and prints them, for run and doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional

from sft_tui.cluster.node_matrix import NodeMatrix, examine_nodes, table_lines
from sft_tui.commands._common.report import StatusLine, print_json, warn
from sft_tui.core.plan import Plan
from sft_tui.launch.plan.nodes import launches


def look_at_nodes(plan: Plan) -> Optional[NodeMatrix]:
    """The matrix of the plan's nodes; None where it stays on this host. Raises SftError, OSError."""
    found = launches(plan)
    if not found:
        return None
    # all steps on nodes have the same nodes; the last reads the most
    matrix = NodeMatrix(found[-1])
    with StatusLine() as line:
        for done, (part, seen) in enumerate(examine_nodes(found[-1]), 1):
            matrix = seen
            if line.is_live:
                line.show(f"{done} of {len(found[-1].parts)} nodes have answered, {part.node.host} among them")
    return matrix


def nodes_fit(plan: Plan, *, as_json: bool = False) -> bool:
    """Whether a job of the plan may start; where not, or where something is doubtful, the table is shown."""
    matrix = look_at_nodes(plan)
    if matrix is None or all(finding.verdict == "ok" for finding in matrix.findings):
        return True
    for text in table_lines(matrix):
        warn(text)
    if not matrix.fits:
        warn("The nodes are not fit for this training: nothing was started.")
        if as_json:
            print_json({"nodes": [asdict(finding) for finding in matrix.findings]})
    return matrix.fits
