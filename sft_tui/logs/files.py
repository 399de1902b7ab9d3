"""Lists the logs of a job: of its supervisor, of each step, of msrun and its ranks, of MindFormers, of CANN."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from sft_tui.core.plan import Step
from sft_tui.logs.stamp import rank_of_path
from sft_tui.store.job_store import JobFolder

LOGS_AT_MOST = 10_000
_DEEPEST = 6  # folders below the one named; plog: <kind>/plog/, MindFormers: rank_<n>/
_ENDINGS = (".log", ".txt", ".err", ".out")


@dataclass(frozen=True)
class LogFile:
    """One log: of which step, who wrote it (`sft-tui`, `msrun`, `MindFormers`, `CANN`), and for which rank."""

    path: Path
    step: str
    writer: str
    name: str
    rank: int | None = None


def find_logs(folder: JobFolder) -> list[LogFile]:
    """All logs of a job that are there now, in the order of its steps; at most 10,000. Raises SftError."""
    found: list[LogFile] = []
    for step in folder.load_spec().plan.steps:
        for file in _of_step(folder, step):
            if len(found) >= LOGS_AT_MOST:
                return found
            found.append(file)
    found += _files(folder.supervisor_log.parent, "", "sft-tui", only=folder.supervisor_log.name)
    return found


def find_logs_below(top: Path) -> list[LogFile]:
    """All logs in a folder that no job of ours has written, by who seems to have; at most 10,000."""
    found: list[LogFile] = []
    for path in _walk(top, _DEEPEST):
        if len(found) >= LOGS_AT_MOST:
            break
        if _is_log(path):
            name = path.relative_to(top).as_posix()
            found.append(LogFile(path, "", _writer(name), name, rank_of_path(name)))
    return sorted(found, key=lambda file: file.writer)


def _writer(name: str) -> str:
    last = name.rpartition("/")[2]
    if "plog" in name or "device-" in last:
        return "CANN"
    if re.match(r"(?:worker_\d+|scheduler)\.", last):
        return "msrun"
    return "MindFormers" if re.search(r"rank_\d+/", name) else "other"


def _of_step(folder: JobFolder, step: Step) -> Iterator[LogFile]:
    own = folder.step_log(step.id)
    yield from _files(own.parent, step.id, "sft-tui", only=own.name)
    if step.training_log:
        yield from _files(Path(step.training_log).parent, step.id, "msrun")
    for variable, writer in (("LOG_MF_PATH", "MindFormers"), ("ASCEND_PROCESS_LOG_PATH", "CANN")):
        if place := step.env.get(variable):
            yield from _files(Path(place), step.id, writer)


def _files(top: Path, step: str, writer: str, only: str = "") -> list[LogFile]:
    paths = [top / only] if only else _walk(top, _DEEPEST)
    return [
        LogFile(path, step, writer, path.relative_to(top).as_posix(), rank_of_path(path.relative_to(top).as_posix()))
        for path in paths
        if _is_log(path)
    ]


def _walk(top: Path, depth: int) -> Iterator[Path]:
    """Files below a folder, by natural order; links to folders are not followed."""
    try:
        with os.scandir(top) as entries:
            listed = sorted(entries, key=lambda entry: _natural(entry.name))
    except OSError:
        return
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _walk(Path(entry.path), depth - 1)
        elif entry.name.endswith(_ENDINGS):
            yield Path(entry.path)


def _natural(name: str) -> list[tuple[str, int]]:
    """worker_9 before worker_10."""
    parts = re.split(r"(\d+)", name)
    return [(words, int(number or 0)) for words, number in zip(parts[::2], [*parts[1::2], ""])]


def _is_log(path: Path) -> bool:
    """A file that may be read: no pipe, no device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
