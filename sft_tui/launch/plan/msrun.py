"""Builds the msrun command line (flags of MindSpore 2.3 to 2.9)."""

from __future__ import annotations

from sft_tui.core.profile import Nodes


def build_msrun(
    msrun: str, nodes: Nodes, *, log_dir: str, script: tuple[str, ...], node_rank: int = -1
) -> tuple[str, ...]:
    """Start the workers of this host and wait for them (`--join=True`: otherwise the exit code says nothing)."""
    return (
        msrun,
        f"--worker_num={nodes.worker_num}",
        f"--local_worker_num={nodes.local_worker_num}",
        f"--master_addr={nodes.master}",
        f"--master_port={nodes.master_port}",
        *((f"--node_rank={node_rank}",) if nodes.hosts else ()),
        f"--log_dir={log_dir}",
        "--join=True",
        f"--cluster_time_out={nodes.cluster_time_out}",
        *script,
    )


def worker_log(log_dir: str, nodes: Nodes, node_rank: int = -1) -> str:
    """Log of the last rank of this host: under pipeline parallelism that of the last host has the true loss."""
    last = (max(node_rank, 0) + 1) * nodes.local_worker_num - 1
    return f"{log_dir}/worker_{last}.log"
