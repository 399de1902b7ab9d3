"""The look at all nodes of a plan, as run and doctor show it."""

from __future__ import annotations

from dataclasses import asdict

from sft_tui.cluster.preflight import Matrix, examine_nodes, table_lines
from sft_tui.commands.report import StatusLine, print_json, say, warn
from sft_tui.core.plan import Plan
from sft_tui.launch.nodes import launches


def nodes_fit(plan: Plan, *, as_json: bool = False, always: bool = False) -> bool:
    """Whether all nodes of the plan are fit; the table is shown if they are not, or `always`.

    True where the plan stays on this host. Raises SftError, OSError.
    """
    found = launches(plan)
    if not found:
        return True
    # all steps on nodes have the same nodes; the last reads the most
    matrix = Matrix(found[-1])
    with StatusLine() as line:
        for done, (part, seen) in enumerate(examine_nodes(found[-1]), 1):
            matrix = seen
            if line.is_live:
                line.show(f"{done} of {len(found[-1].parts)} nodes have answered, {part.node.host} among them")
    if matrix.fits and not always and not any(f.verdict == "warning" for f in matrix.findings):
        return True
    if as_json and not matrix.fits:
        print_json({"nodes": [asdict(finding) for finding in matrix.findings]})
    for text in table_lines(matrix):
        (warn if as_json or not always else say)(text)
    if not matrix.fits:
        warn("The nodes are not fit for this training: nothing was started.")
    return matrix.fits
