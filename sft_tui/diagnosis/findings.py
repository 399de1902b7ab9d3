"""Collects from one log the lines that a rule knows, with time, rank and host. Bounded, however long it is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Optional

from sft_tui.core.terminal_text import neutralise
from sft_tui.diagnosis.rules.exceptions import find_exception
from sft_tui.diagnosis.rules.rule import Force, Rule
from sft_tui.diagnosis.rules.tables import find_rule
from sft_tui.logs.stamp import LogStamp, host_of_path, rank_of_path, read_stamp
from sft_tui.logs.training_log import LoadedWeights, parse_line

MAX_TEXT = 4000  # characters of a line that are looked at
MAX_QUOTE = 400
_KEPT_OF_A_RULE = 3
_KEPT_UNEXPLAINED = 3
_OUTLIVED_BY = 3  # steps of training after a message: it did not end the run
_FLOOD = 40  # lines of one shape after which the next ones only count

_CODE = re.compile(r"\b(E[A-Z0-9]\d{4}|ERR\d{5})\b|(?:code|ret|result|ErrCode)\W{0,4}(?:is |= ?|\[)?\W{0,3}(\d{6})\b")
# what launchers, Ray, vLLM, pytest and grep write before a line
_PREFIX = re.compile(
    r"^(?:\[(?:rank|default) ?\d+\]: ?|(?:worker|node)-?\d+: +|\(\w[^()]{0,80}\) ?|E {2,}|\S+\.log[-:]\d+[-:]"
    r"|(?:ERROR|CRITICAL) [\d-]+ [\d:.]+ \[?\S+\]? ?|\[(?:ERROR|CRITICAL)\] ?(?=\w+(?:Error|Exception):))+"
)
_SOURCE = re.compile(
    r"^\s*(?:raise |return |assert |except |logger\.|print\(|if |elif |File \"|f?[\"'][^\"']*[\"'],?$|f\")|^\s*\d+ \| "
)
# advice below a message names much that did not happen
_ECHO = re.compile(
    r"[{(\[]*\s*'\w+': "
)  # settings as a program prints them at its start: words of paths in them mean nothing
_ADVICE = re.compile(
    r"^\s*(?:Solution|Possible (?:Cause|Reason)|Suggestion|Rectify|Please (?:search|refer)|\(Please|\d\. )", re.I
)
_NOT_A_NUMBER = re.compile(r"\bloss['\"]?[:=]\s*\[?\s*(?:nan|inf)\b", re.IGNORECASE)
_DIGITS = {ord(digit): None for digit in "0123456789"}


@dataclass(frozen=True)
class Finding:
    """A line that a rule knows. `line` counts from 1, `time` is on the clock of its host.

    `serious`: it calls itself an error, is an exception, or begins with a code.
    """

    rule: Rule
    file: str
    line: int
    quote: str
    text: str
    time: Optional[float] = None
    rank: Optional[int] = None
    host: str = ""
    warning: bool = False
    serious: bool = True

    @property
    def code(self) -> str:
        """The code that the line has, else the one that such lines stand for."""
        match = _CODE.search(self.text)
        own = (match[1] or match[2]) if match else ""
        return own if own and own[:6] not in ("EE9999", "EZ9999", "EL9999") else self.rule.code or own


@dataclass
class _OfRule:
    rule: Rule
    count: int = 0
    kept: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.count += 1
        if len(self.kept) < _KEPT_OF_A_RULE:
            self.kept.append(finding)
        elif finding.time is not None and finding.time < min(f.time or finding.time + 1 for f in self.kept):
            # logs of several parts stand in one file at times, the newest first
            self.kept[-1] = finding


class LogScan:
    """Takes the lines of one log that may speak of a failure, in their order."""

    def __init__(self, file: str, *, rank: Optional[int] = None, host: str = "") -> None:
        self.file = file
        self.rank = rank if rank is not None else rank_of_path(file)
        self.host = host or host_of_path(file)
        self.ranks_by_pid: dict[int, int] = {}  # as MindSpore's workers tell at their start
        self._of_rules: dict[tuple[str, str, bool], _OfRule] = {}
        self._unexplained: list[Finding] = []
        self._progress: list[int] = []
        self._shapes: Counter[str] = Counter()

    def take(self, number: int, text: str, stamp_before: Optional[Callable[[], LogStamp]] = None) -> None:
        """Look at a line. `stamp_before`: the stamp of the nearest line before it that has one. Never raises."""
        text = text[:MAX_TEXT]
        if self._is_flood(text):
            return
        clean = neutralise(text).strip()
        stamp = read_stamp(clean)
        if stamp.level in ("debug", "info"):
            return
        words = _PREFIX.sub("", clean)
        warning = stamp.level == "warning"
        if _SOURCE.match(words) or _ADVICE.match(words) or _ECHO.match(words):
            return
        rule = find_rule(words.lower(), warning=warning)
        exception = find_exception(words)
        if rule is None and not warning:
            rule = exception
        if rule is None and stamp.level != "error":
            return
        before = stamp_before() if stamp.time is None and stamp_before is not None else LogStamp()
        time = stamp.time if stamp.time is not None else before.time
        rank = self.rank if self.rank is not None else stamp.rank
        finding = Finding(
            rule or _UNEXPLAINED, self.file, number, clean[:MAX_QUOTE], words[:MAX_TEXT], time, rank,
            self.host or stamp.host, warning,
            serious=exception is not None or stamp.level == "error" or _CODE.match(words) is not None,
        )  # fmt: skip
        if rule is None:
            if len(self._unexplained) < _KEPT_UNEXPLAINED:
                self._unexplained.append(finding)
            return
        self._of_rules.setdefault((rule.word, rule.where, warning), _OfRule(rule)).add(finding)

    def take_weights(self, number: int, text: str) -> None:
        """Look at the line in which MindFormers says what was loaded."""
        fact = parse_line(text)
        if isinstance(fact, LoadedWeights) and fact.not_loaded:
            rule = Rule("not loaded", "checkpoint_load", Force.SYMPTOM, sure=False, remedy="not_loaded")
            quote = f"{len(fact.not_loaded)} parameters of the network are not loaded, {fact.not_loaded[0]} among them"
            finding = Finding(rule, self.file, number, quote, quote, rank=self.rank, host=self.host)
            self._of_rules.setdefault(("not loaded", "", False), _OfRule(rule)).add(finding)

    def take_loss(self, number: int, text: str) -> None:
        """Look at a line of training whose loss is not a number."""
        if match := _NOT_A_NUMBER.search(text[:MAX_TEXT]):
            rule = Rule("loss", "overflow_nan", Force.SYMPTOM, sure=True)
            quote = neutralise(text).strip()[:MAX_QUOTE]
            finding = Finding(rule, self.file, number, quote, match[0], read_stamp(quote).time, self.rank, self.host)
            self._of_rules.setdefault(("loss", "", False), _OfRule(rule)).add(finding)

    def take_progress(self, number: int) -> None:
        """The training did a step: what was said long before did not end it."""
        self._progress = [*self._progress[1 - _OUTLIVED_BY :], number]

    @property
    def _outlived(self) -> int:
        return self._progress[0] if len(self._progress) == _OUTLIVED_BY else 0

    def finish(self) -> None:
        """The log has been read: let go of what only its reading needed."""
        self._shapes.clear()

    def findings(self) -> list[Finding]:
        """What counts, in the order of lines."""
        kept = [finding for of_rule in self._of_rules.values() for finding in of_rule.kept]
        return sorted((f for f in kept if f.line > self._outlived or f.rule.word == "not loaded"), key=lambda f: f.line)

    def counts(self) -> Counter[str]:
        """How often each category was spoken of, by the words of its rule."""
        return Counter({of_rule.rule.word: of_rule.count for of_rule in self._of_rules.values()})

    def unexplained(self) -> list[Finding]:
        """The first lines that call themselves errors and that no rule knows."""
        return [f for f in self._unexplained if f.line > self._outlived]

    def _is_flood(self, text: str) -> bool:
        shape = text[:240].translate(_DIGITS)
        self._shapes[shape] += 1
        if len(self._shapes) > 20_000:
            self._shapes.clear()
        return self._shapes[shape] > _FLOOD


_UNEXPLAINED = Rule("", "unknown", Force.WRAPPER, sure=False)
