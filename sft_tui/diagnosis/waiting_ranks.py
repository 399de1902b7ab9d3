"""Which rank the others waited for, where all that the logs have is waiting. Pure.

HCCL tells which ranks reached the root, which operator each rank stood in, and how many it had done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Sequence

from sft_tui.diagnosis.findings import Finding
from sft_tui.diagnosis.rules.rule import Force

LATE_SECONDS = 30.0  # a rank that gave up this much later than another had come that much later

_CONNECTED = re.compile(r"\[(\d{8,20})\]")
_OPERATOR = re.compile(r"\btag\[([A-Za-z]+)_[^\]]*\](?:.*?\bindex\[(\d+)\])?")
_FIRST_TIMED_OUT = re.compile(r"worker (\d+) is the first one timed out")


@dataclass(frozen=True)
class Suspect:
    """The rank that the others waited for, and the line that shows it; `rank` None: that of the line."""

    finding: Finding
    category: str
    sure: bool = False
    rank: Optional[int] = None
    remedy: str = ""


def find_suspect(findings: Sequence[Finding]) -> Optional[Suspect]:
    """The rank that was waited for, if the waiting ones tell."""
    waits = [f for f in findings if f.rule.force is Force.WAIT and not f.warning]
    return _missing_rank(waits) or _other_operator(waits) or _late_rank(waits) or _named_worker(waits)


def _missing_rank(waits: Sequence[Finding]) -> Optional[Suspect]:
    for finding in waits:
        if "connected rankinfo" in finding.text.lower():
            there = {int(number) for number in _CONNECTED.findall(finding.text)}
            if there:
                missing = next(rank for rank in range(len(there) + 1) if rank not in there)
                return Suspect(finding, "node_not_joined", sure=True, rank=missing)
    return None


def _other_operator(waits: Sequence[Finding]) -> Optional[Suspect]:
    """Ranks that stood in different operators, or one that had done fewer of them."""
    standing: dict[int, tuple[str, Optional[int], Finding]] = {}
    for finding in waits:
        match = _OPERATOR.search(finding.text)
        if match and finding.rank is not None and "task run failed" in finding.text.lower():
            standing.setdefault(finding.rank, (match[1].lower(), int(match[2]) if match[2] else None, finding))
    if len(standing) < 2:
        return None
    indices = {index for _, index, _ in standing.values() if index is not None}
    if len(indices) > 1:
        behind = min((index, rank) for rank, (_, index, _) in standing.items() if index is not None)[1]
        return Suspect(standing[behind][2], "hccl_timeout", remedy="rank_behind")
    names = [name for name, _, _ in standing.values()]
    if len(set(names)) > 1 and not indices:
        # two ranks, two operators: the one that differs from the lowest rank's
        usual = max(set(names), key=lambda name: (names.count(name), name == standing[min(standing)][0]))
        odd = min(rank for rank, (name, _, _) in standing.items() if name != usual)
        return Suspect(standing[odd][2], "config_parallel", remedy="collective_differs")
    return None


def _late_rank(waits: Sequence[Finding]) -> Optional[Suspect]:
    """In one collective all ranks give up after the same time: the last one had come last."""
    first: dict[int, Finding] = {}
    for finding in waits:
        if finding.code == "EI0002" and finding.rank is not None and finding.time is not None:
            first.setdefault(finding.rank, finding)
    if len(first) < 2:
        return None
    ordered = sorted(first.values(), key=lambda f: f.time or 0.0)
    if (ordered[-1].time or 0.0) - (ordered[0].time or 0.0) < LATE_SECONDS:
        return None
    return Suspect(ordered[-1], "hccl_timeout", remedy="rank_late")


def _named_worker(waits: Sequence[Finding]) -> Optional[Suspect]:
    for finding in waits:
        if match := _FIRST_TIMED_OUT.search(finding.text.lower()):
            return Suspect(finding, "node_not_joined", rank=int(match[1]), remedy="worker_log")
    return None
