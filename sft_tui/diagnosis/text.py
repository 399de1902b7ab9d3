"""Writes a verdict, as the event of a job has it, in one line."""

from __future__ import annotations

from typing import Any, Mapping

from sft_tui.diagnosis.remedies import title


def describe_first_cause(data: Mapping[str, Any]) -> str:
    """`first cause: a port is in use (rank 3, worker_3.log:120)`, or that it is not known."""
    if data["category"] == "unknown" or not data["file"]:
        return "first cause: not known"  # the log has what there is
    who = f"rank {data['rank']}, " if data["rank"] is not None else ""
    guess = "" if data["sure"] else "perhaps "
    return f"first cause: {guess}{title(data['category'], 'en')} ({who}{data['file']}:{data['line']})"
