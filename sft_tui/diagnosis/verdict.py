"""From what the logs of all ranks say to the first cause of a failure. Pure.

The nearest to a cause wins (failure_rules.rule.Force), then time, then the order of ranks: a rank that waited in vain
is louder than the one it waited for. Where nothing but waits and wrappers is left, the verdict is a guess and says so.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Iterable, Optional, Sequence

from sft_tui.diagnosis.findings import Finding, LogScan
from sft_tui.diagnosis.remedies import remedy, why_not
from sft_tui.diagnosis.rules.rule import Force
from sft_tui.diagnosis.waiting_ranks import Suspect, find_suspect

SCHEMA_VERSION = 1
CLOCK_SECONDS = 5.0  # clocks of hosts differ by this much; less tells nothing
ASIDE_LINES = 100
LONG_SECONDS = 60.0
MAX_LOUDER = 3
MAX_SUSPICIOUS = 5


_DEAD_PROCESS = re.compile(r"[Pp]rocess (\d{1,10}) exit")


@dataclass(frozen=True)
class Mention:
    """A line that is shown beside the verdict; `why_en`, `why_zh`: why it is not the cause."""

    file: str
    line: int
    rank: Optional[int]
    quote: str
    code: str = ""
    count: int = 1
    why_en: str = ""
    why_zh: str = ""


@dataclass(frozen=True)
class Verdict:
    """The first cause, as far as the logs tell. `category` "unknown": nothing that is known; `failed`: something is
    there that speaks of a failure."""

    category: str = "unknown"
    sure: bool = False
    failed: bool = False
    rank: Optional[int] = None
    host: str = ""
    file: str = ""
    line: Optional[int] = None
    quote: str = ""
    code: str = ""
    remedy_en: str = ""
    remedy_zh: str = ""
    louder: tuple[Mention, ...] = ()
    suspicious: tuple[Mention, ...] = ()


def verdict_to_json(verdict: Verdict) -> dict[str, object]:
    """For programs and for the events of a job."""
    fields = asdict(verdict)
    for name in ("host", "file", "quote", "code"):
        fields[name] = fields[name] or None
    return {"schema_version": SCHEMA_VERSION, **fields}


def diagnose(logs: Iterable[LogScan]) -> Verdict:
    """The verdict on a run whose logs have been read; the order of the logs does not matter."""
    ordered = sorted(logs, key=lambda log: log.file)
    found = _without_asides(_without_echoes([f for log in ordered for f in log.findings()]))
    findings = _demote_aftermath(found)
    unexplained = [f for log in ordered for f in log.unexplained()]
    if all(f.warning for f, _ in findings) and not unexplained:
        return Verdict()  # warnings alone: every healthy run has them
    suspicious = tuple(
        Mention(f.file, f.line, f.rank, f.quote)
        for f in sorted(unexplained, key=lambda f: (f.time is None, f.time or 0.0, f.file, f.line))[:MAX_SUSPICIOUS]
    )
    if not findings:
        english, chinese = remedy("unknown", "unknown")
        return Verdict(failed=True, suspicious=suspicious, remedy_en=english, remedy_zh=chinese)
    counts = sum((log.counts() for log in ordered), Counter[str]())
    first, force = min(findings, key=_order)
    suspect = find_suspect([f for f, _ in findings]) if force is Force.WAIT else None
    if suspect is not None:
        first = suspect.finding
    verdict = _verdict(first, force, findings, suspect, counts, suspicious)
    if verdict.rank is not None:
        return verdict
    return replace(verdict, rank=_rank_of_process(first.text, ordered))


def _rank_of_process(text: str, logs: Iterable[LogScan]) -> Optional[int]:
    """msrun names a worker that has died by its process."""
    match = _DEAD_PROCESS.search(text)
    return (
        next((log.ranks_by_pid[int(match[1])] for log in logs if int(match[1]) in log.ranks_by_pid), None)
        if match
        else None
    )


def _verdict(
    first: Finding,
    force: Force,
    findings: Sequence[tuple[Finding, Force]],
    suspect: Optional[Suspect],
    counts: Counter[str],
    suspicious: tuple[Mention, ...],
) -> Verdict:
    category = suspect.category if suspect else first.rule.category
    if force is Force.WRAPPER and category == "other":
        category = "unknown"  # a wrapper without what it wraps
    sure = (suspect.sure if suspect else first.rule.sure) and not _is_contradicted(first, force, findings)
    key = (suspect.remedy if suspect else "") or first.rule.remedy
    english, chinese = remedy(key or category, category)
    return Verdict(
        category=category,
        sure=sure and category != "unknown",
        failed=True,
        rank=suspect.rank if suspect and suspect.rank is not None else first.rank,
        host=first.host,
        file=first.file,
        line=first.line,
        quote=first.quote,
        code=first.code or _code_nearby(first, findings),
        remedy_en=english,
        remedy_zh=chinese,
        louder=_louder(first, category, findings, counts),
        suspicious=() if sure else suspicious,
    )


def _code_nearby(first: Finding, findings: Sequence[tuple[Finding, Force]]) -> str:
    """The code that another line of the same log has for the same thing."""
    same = (f for f, _ in findings if f.file == first.file and f.rule.category == first.rule.category)
    return next((f.code for f in sorted(same, key=lambda f: abs(f.line - first.line)) if f.code), "")


def _order(item: tuple[Finding, Force]) -> tuple[int, bool, float, bool, int, str, int]:
    finding, force = item
    return (
        int(force) + (int(Force.WRAPPER) + 1 if finding.warning and force >= Force.WAIT else 0),
        finding.time is None,
        finding.time or 0.0,
        finding.rank is None,
        finding.rank or 0,
        finding.file,
        finding.line,
    )


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Without lines of a launcher's log that repeat what a worker's log says."""
    of_ranks = {f.text for f in findings if f.rank is not None}
    return [f for f in findings if f.rank is not None or f.text not in of_ranks]


def _without_asides(findings: list[Finding]) -> list[Finding]:
    """Without what a program mentioned and could do without, long before an error in the same log."""
    last_error: dict[str, int] = {}
    for finding in findings:
        if finding.serious and finding.rule.force is Force.CAUSE and finding.rule.sure:
            last_error[finding.file] = finding.line
    return [
        f
        for f in findings
        if f.serious or f.rule.force is not Force.CAUSE or last_error.get(f.file, 0) < f.line + ASIDE_LINES
    ]


def _demote_aftermath(findings: list[Finding]) -> list[tuple[Finding, Force]]:
    """Each finding with its force; a death that came after an error is that of a process that was ending."""
    first_line: dict[str, int] = {}
    waits = [f.time for f in findings if f.rule.force is Force.WAIT and f.time is not None and not f.warning]
    waiting = {f.file for f in findings if f.rule.force is Force.WAIT and not f.warning}
    for finding in findings:
        if finding.rule.force is not Force.DEATH and finding.rule.force < Force.WRAPPER and not finding.warning:
            first_line.setdefault(finding.file, finding.line)
    result = []
    for finding in findings:
        force = finding.rule.force
        if force is Force.DEATH:
            after_error = finding.line > first_line.get(finding.file, finding.line)
            after_wait = finding.time is not None and any(t < finding.time - CLOCK_SECONDS for t in waits)
            force = Force.WRAPPER if after_error or after_wait else force
        elif force is Force.GENERIC and finding.rule.category == "unknown" and finding.file in waiting:
            force = Force.WRAPPER  # a RuntimeError of the rank that waited
        result.append((finding, force))
    return result


def _is_contradicted(first: Finding, force: Force, findings: Sequence[tuple[Finding, Force]]) -> bool:
    """Another cause is named, in another log and not known to be later, or long after in the same one.

    What does not even call itself an error yields to any error that comes long after it.
    """
    return any(
        not first.serious
        and other.serious
        and other.file == first.file
        and other_force <= Force.GENERIC
        and other.rule.category != first.rule.category
        and other.line >= first.line + ASIDE_LINES
        for other, other_force in findings
    ) or any(
        other.rule.category != first.rule.category
        and other_force <= min(force, Force.SYMPTOM)
        and other.rule.sure
        and (_is_long_after(other, first) if other.file == first.file else not _is_later(other, first))
        for other, other_force in findings
    )


def _is_long_after(other: Finding, first: Finding) -> bool:
    """The program went on in between, so that the first may not have ended it."""
    if other.line < first.line + 2 * ASIDE_LINES:
        return False
    return other.time is None or first.time is None or other.time > first.time + LONG_SECONDS


def _is_later(other: Finding, first: Finding) -> bool:
    if other.time is None or first.time is None:
        return False
    tolerance = 0.0 if other.host == first.host else CLOCK_SECONDS
    return other.time > first.time + tolerance


def _louder(
    first: Finding, category: str, findings: Sequence[tuple[Finding, Force]], counts: Counter[str]
) -> tuple[Mention, ...]:
    """What stands out more and is not the cause: one line of each kind, the most frequent first."""
    kinds: dict[str, tuple[Finding, Force]] = {}
    for finding, force in sorted(findings, key=_order):
        if finding.rule.word != first.rule.word and not finding.warning:
            kinds.setdefault(finding.rule.word, (finding, force))
    chosen = sorted(kinds.values(), key=lambda item: (-counts[item[0].rule.word], _order(item)))[:MAX_LOUDER]
    mentions = []
    for finding, force in chosen:
        english, chinese = why_not(force, same=finding.rule.category == category)
        count = counts[finding.rule.word]
        mentions.append(
            Mention(finding.file, finding.line, finding.rank, finding.quote, finding.code, count, english, chinese)
        )
    return tuple(mentions)
