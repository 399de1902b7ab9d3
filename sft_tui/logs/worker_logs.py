"""Finds the logs of the other ranks of msrun, beside the one that a step is judged by."""

from __future__ import annotations

from pathlib import Path

from sft_tui.logs.stamp import rank_of_path


def rank_of_log(log: Path) -> int:
    """`worker_3.log` is that of rank 3; a log that names no rank is that of rank 0."""
    return rank_of_path(log.name) or 0


def worker_logs(last: Path) -> list[Path]:
    """Those of the ranks up to that of `last`, by rank: an earlier run with more workers leaves its own as well."""
    return sorted(
        (path for path in last.parent.glob("worker_*.log") if rank_of_log(path) <= rank_of_log(last)), key=rank_of_log
    )
