"""Finds the line that says why a program failed, by its words alone, where no rule of `rules/` is asked."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator

from sft_tui.logs.scan import open_log

LONGEST_LINE = 2000  # bytes of a line that are looked at
SECONDS_AT_MOST = 3.0  # of reading; a flood may hide the reason, but not hold up the end of a job
LAST_BYTES = 1 << 16  # that are looked at all the same
LINES_A_LOOK = 5000  # at the clock
LONGEST_REASON = 500

_EXCEPTION = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?::|$)|^(?:sft-tui: )?error: ")
_ERROR = re.compile(r"\[(?:ERROR|CRITICAL)\]| - (?:ERROR|CRITICAL) - |\bcommand not found\b|^Killed$")
_CHAINED = re.compile(r"^(?:The above exception was the direct cause|During handling of the above exception)")
_RULE = re.compile(r"^[-=\s]*$")
_SPEAKS_OF_AN_ERROR = re.compile(r"error|exception|killed", re.IGNORECASE)


def first_error(logs: Iterable[Path], is_given_up: Callable[[], bool] = lambda: False) -> str:
    """Why a step failed, from the first of its logs that says it; empty where none can be read.

    Once it `is_given_up` only the last lines are read.
    """
    last = ""
    end = time.monotonic() + SECONDS_AT_MOST
    for path in logs:
        try:
            with open_log(path) as file:
                if file is not None:
                    last = first_error_line(_read_lines(file, lambda: time.monotonic() > end or is_given_up())) or last
        except OSError:
            continue
        if tells_an_error(last):
            break
    return last[:LONGEST_REASON]


def _read_lines(descriptor: int, is_over: Callable[[], bool]) -> Iterator[str]:
    """The lines from the beginning; of what is not read when time is up, only the last ones."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        count, is_start = 0, True
        while line := file.readline(LONGEST_LINE):
            if is_start:
                yield line.decode("utf-8", errors="replace")
            is_start = line.endswith(b"\n")
            count += 1
            if count == LINES_A_LOOK and is_over():
                file.seek(max(file.tell(), os.fstat(descriptor).st_size - LAST_BYTES))
                is_start = False
            count %= LINES_A_LOOK


def tells_an_error(line: str) -> bool:
    """The line speaks of an error, and is not merely the last one of a log."""
    return _SPEAKS_OF_AN_ERROR.search(line) is not None


def first_error_line(lines: Iterable[str]) -> str:
    """The line that says why a step failed: the first exception message, else the first error, else the last line.

    MindSpore prints an exception's name alone on its line at times, with the message between ruled lines below it.
    Where another exception was raised on the first one's account, and says more (a file), both are given.
    """
    error = last = ""
    rows = iter(lines)
    for row in rows:
        if _EXCEPTION.match(row):
            first = _whole_message(row.strip(), rows)
            second = _chained_message(rows)
            return f"{first} ({second})" if second and first.partition(": ")[2] not in second else first
        line = row.strip()
        if not error and _ERROR.search(row):
            error = line
        last = line or last
    return error or last


def _whole_message(line: str, rows: Iterator[str]) -> str:
    """The exception's line, with the lines that its message goes on with."""
    while line.endswith(":"):
        more = next((row for row in rows if not _RULE.match(row)), None)
        if more is None:
            break
        line += " " + more.strip(" -\n")
    return line


def _chained_message(rows: Iterator[str]) -> str:
    """The exception that was raised on account of the one just read, or an empty string."""
    following = next((row for row in rows if row.strip()), "")
    if not _CHAINED.match(following):
        return ""
    return next((_whole_message(row.strip(), rows) for row in rows if _EXCEPTION.match(row)), "")
