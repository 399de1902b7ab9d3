"""When a log line was written, at what level, and by which rank and host, as far as the line or its file's name tells.

Known are the forms of MindSpore, CANN's plogs and device logs, MindFormers and Python's logging, torch and torch_npu,
glog, syslog and ISO 8601. Times are seconds on the clock of the host that wrote them, whatever zone it keeps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Optional

Level = Literal["", "debug", "info", "warning", "error"]

_EPOCH = datetime(1970, 1, 1)
_TIME = re.compile(
    r"(?<!\d)(\d{4})[-/](\d\d?)[-/](\d\d?)[-T ]+(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,3})(?:[.](\d{1,3}))?(\d{0,3}))?"
)
_LEVELS: dict[str, Level] = {
    "DEBUG": "debug", "TRACE": "debug", "EVENT": "info", "INFO": "info", "WARNING": "warning", "WARN": "warning",
    "ERROR": "error", "CRITICAL": "error", "EXCEPTION": "error", "FATAL": "error",
}  # fmt: skip
_LEVEL = re.compile(
    r"\[(?P<box>(?i:DEBUG|TRACE|EVENT|INFO|WARNING|WARN|ERROR|CRITICAL|EXCEPTION|FATAL))\]"
    r"| - (?P<dash>DEBUG|INFO|WARNING|ERROR|CRITICAL) - "
    r"|^(?:\([^)]{1,80}\) ?)?(?P<bare>DEBUG|INFO|WARNING|ERROR|CRITICAL)[ :]"
    r"|\[(?P<glog>[IWEF])\d{3,4} \d\d:|^(?P<short>[IWEF])\d{4} \d\d:|\[(?P<torch>[WE]) [\w./]+:\d+\]"
)
_LEVEL_LETTERS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "error"}
_WARNS = re.compile(r"^\S*?:?\d*:? ?(?:\w*Warning: )")
_RANK_IN_LINE = re.compile(r"\[rank ?(\d{1,6})\]:|\bRankID:(\d{1,6})\b|(?:^|[/\s])worker_(\d{1,6})\.log\b")
_RANK_IN_NAME = re.compile(
    r"(?:worker|rank)[-_]?(\d{1,6})(?:\.(?:log|txt|out|err)\b|$|[-_.])|^rank[-_]?(\d{1,6})\D", re.I
)
_HOST_IN_NAME = re.compile(
    r"^(?:(?:node|host|server|machine|npu-?node|train-?node)[-_.]?[\w.-]*|\d{1,3}(?:\.\d{1,3}){3}|[a-z]+-\d+(?:-\d+){3})$",
    re.I,
)
_HOST_IN_LINE = re.compile(r"\bip=(\d{1,3}(?:\.\d{1,3}){3})\)|^\w{3} [ \d]\d \d\d:\d\d:\d\d (\S+) \w+(?:\[\d+\])?:")
_STAMP_AT_MOST = 200  # characters from the start in which a stamp is looked for


@dataclass(frozen=True)
class LogStamp:
    """What stands before the words of a log line; None or "" where it does not tell."""

    time: Optional[float] = None
    level: Level = ""
    rank: Optional[int] = None
    host: str = ""


def read_stamp(line: str) -> LogStamp:
    """Read the stamp of a line. Never raises."""
    head = line[:_STAMP_AT_MOST]
    rank = _first_group(_RANK_IN_LINE.search(line[:300]))
    return LogStamp(
        time=read_time(head),
        level=read_level(head),
        rank=int(rank) if rank else None,
        host=_first_group(_HOST_IN_LINE.search(head)),
    )


def read_time(head: str) -> Optional[float]:
    """Seconds since 1970, on the clock of the writer; None where no whole date stands there."""
    match = _TIME.search(head)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    try:
        whole = (datetime(year, month, day, hour, minute, second) - _EPOCH).total_seconds()
    except ValueError:
        return None
    digits = f"{match[7] or ''}{match[8] or ''}{match[9] or ''}"
    return whole + (int(digits) / 10 ** len(digits) if digits else 0.0)


def read_level(head: str) -> Level:
    """The level that the line gives itself."""
    match = _LEVEL.search(head)
    if match is None:
        return "warning" if _WARNS.match(head) else ""
    word = match["box"] or match["dash"] or match["bare"]
    if word:
        return _LEVELS[word.upper()]
    return _LEVEL_LETTERS[match["glog"] or match["short"] or match["torch"]]


def rank_of_path(path: str) -> Optional[int]:
    """The rank whose log this is: `worker_3.log`, `rank_3/info.log`, `rank_3.log`."""
    for part in reversed(path.split("/")):
        if rank := _first_group(_RANK_IN_NAME.search(part)):
            return int(rank)
    return None


def host_of_path(path: str) -> str:
    """The host whose log this is, where a folder has its name: `node1/worker_3.log`, `192.0.2.7/...`."""
    for part in path.split("/")[:-1]:
        if _HOST_IN_NAME.match(part):
            return part
    return ""


def _first_group(match: Optional[re.Match[str]]) -> str:
    return next((group for group in match.groups() if group), "") if match else ""
