"""How long the look at 64 nodes takes when each answers after a second: the ratio to one answer.

python -m tests.benchmarks.nodes.preflight [NODES]
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from sft_tui.cluster import node_facts
from sft_tui.cluster.node_matrix import examine_nodes
from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Plan
from sft_tui.paths import PACKAGE_DIR

ANSWER_SECONDS = 1.0


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = {
            "files": [], "marker": "", "work_dir": name, "mindformers_home": "", "master_addr": "127.0.0.1",
            "master_port": 58118, "is_master": True,
        }  # fmt: skip
        (folder / "facts").write_text(json.dumps(node_facts.collect(request, "", "")))
        stub = folder / "ssh"
        stub.write_text(f"#!/bin/sh\ncat >/dev/null\nsleep {ANSWER_SECONDS}\ncat {folder}/facts\n")
        stub.chmod(0o755)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        parts = tuple(
            NodePart(
                rank=r, node=Node(host=f"n{r}"), python=sys.executable, work_dir=name, plan=Plan(profile="p", steps=())
            )
            for r in range(count)
        )
        launch = Launch(
            step="train", master_addr="127.0.0.1", master_port=58118, worker_num=count, device="CPU",
            package_dir=str(PACKAGE_DIR), python=sys.executable, mindformers_home="", work_dir=name, inputs=(),
            parts=parts,
        )  # fmt: skip
        begin = time.monotonic()
        first = 0.0
        for _ in examine_nodes(launch):
            first = first or time.monotonic() - begin
        took = time.monotonic() - begin
    print(f"{count} nodes of {ANSWER_SECONDS} s: first answer after {first:.2f} s, all after {took:.2f} s")
    print(f"ratio to one answer: {took / ANSWER_SECONDS:.2f}; one after the other it would be {count}")


if __name__ == "__main__":
    main()
