"""The msrun command line (flags of MindSpore 2.3 to 2.9)."""

from __future__ import annotations

from sft_tui.core.profile import Nodes


def build_msrun(msrun: str, nodes: Nodes, *, log_dir: str, script: tuple[str, ...]) -> tuple[str, ...]:
    """Start all workers on this host and wait for them (`--join=True`: otherwise the exit code says nothing)."""
    return (
        msrun,
        f"--worker_num={nodes.worker_num}",
        f"--local_worker_num={nodes.worker_num}",
        "--master_addr=127.0.0.1",
        f"--master_port={nodes.master_port}",
        f"--log_dir={log_dir}",
        "--join=True",
        f"--cluster_time_out={nodes.cluster_time_out}",
        *script,
    )


def worker_log(log_dir: str, nodes: Nodes) -> str:
    """Log of the last rank: under pipeline parallelism the only one with the true loss."""
    return f"{log_dir}/worker_{nodes.worker_num - 1}.log"
