"""`sft-tui diagnose`: the first cause of a failed run, from its logs."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Optional

from sft_tui.commands._common.report import print_json, say, warn
from sft_tui.core.job import JobState
from sft_tui.core.terminal_text import neutralise, short_size
from sft_tui.diagnosis.read_logs import Evidence, read_logs
from sft_tui.diagnosis.remedies import title
from sft_tui.diagnosis.verdict import Mention, Verdict, diagnose, verdict_to_json
from sft_tui.errors import InvalidInputError
from sft_tui.jobs.evidence.step_diagnosis import read_logs_of_job
from sft_tui.jobs.read_state import read_state
from sft_tui.paths import jobs_dir, prefers_chinese
from sft_tui.store.job_store import find_job

SHOWN_OF_A_LINE = 160
# `[ERROR] DEVICE(1,7f0,python):2026-11-24-03:49:19.447.196 [file.cc:421] Function] `: the place has been said
_STAMP = re.compile(r"^\[[A-Z]+\] ?\w+\([^)]{0,60}\):\S{1,40} (?:\[[^\]]{0,200}\] ?){1,3}(?:\w+\] ?)?")

_WORDS = {
    "en": {
        "nothing": "Nothing failed: no error was found in {files}.",
        "empty": "There is no log to read here.",
        "step": "Step {step}",
        "job": "Job {job}",
        "failed": "{who} failed: {reason}",
        "lost": "{who} was lost: {reason}",
        "stopped": "{who} was stopped: {reason}",
        "unnamed": "Its logs name no further cause.",
        "sure": "sure: the quoted words decide it",
        "unsure": "not sure: a guess from what the logs have",
        "unknown": "The first cause is not known.",
        "cause": "First cause: {title}{code}",
        "where": "where",
        "says": "says",
        "do": "do",
        "louder": "louder, but not it",
        "early": "earliest",
        "certainty": "certainty",
        "rank": "rank {rank}",
        "times": "{count} times",
    },
    "zh": {
        "nothing": "未发现失败：{files} 中没有错误。",
        "empty": "此处没有可读的日志。",
        "step": "步骤 {step}",
        "job": "作业 {job}",
        "failed": "{who} 失败：{reason}",
        "lost": "{who} 丢失：{reason}",
        "stopped": "{who} 已停止：{reason}",
        "unnamed": "日志中没有更多原因。",
        "sure": "确定：引用内容足以判断",
        "unsure": "不确定：仅据现有日志推测",
        "unknown": "首因未知。",
        "cause": "首因：{title}{code}",
        "where": "位置",
        "says": "原文",
        "do": "处理",
        "louder": "更醒目但不是首因",
        "early": "最早的可疑行",
        "certainty": "把握",
        "rank": "{rank} 号卡",
        "times": "共 {count} 次",
    },
}


def run_diagnose(arguments: argparse.Namespace) -> int:
    """`sft-tui diagnose DIR|FILE|JOB`: exit code 0 when it has been looked at, whatever was found."""
    evidence, state = _read(arguments.target)
    verdict = diagnose(evidence.logs)
    notes = evidence.notes()
    ended = _end_of(state) if state is not None else None
    if ended is not None and ended.outcome != "stopped":
        verdict = replace(verdict, failed=True)  # whatever its logs say
    if arguments.json:
        data = {**verdict_to_json(verdict), "files": evidence.files, "notes": notes}
        print_json(data if ended is None else {**data, "job": asdict(ended)})
        return 0
    lang = arguments.lang or ("zh" if prefers_chinese() else "en")
    for line in _lines_of_job(ended, verdict, evidence, lang) if ended else lines_for(verdict, evidence, lang):
        say(line)
    for note in notes:
        warn(note)
    return 0


@dataclass(frozen=True)
class JobEnd:
    """How a job ended that did not succeed, by its own record; `step`: the one that failed, if one did."""

    id: str
    outcome: str
    step: Optional[str]
    exit_code: Optional[int]
    reason: str
    hint: str


def _end_of(state: JobState) -> Optional[JobEnd]:
    if state.outcome in (None, "succeeded"):
        return None
    step = state.current_step
    if step is None:
        return JobEnd(state.id, str(state.outcome), None, None, state.reason, state.hint)
    reason = state.reason if state.outcome == "lost" else step.reason or state.reason
    return JobEnd(state.id, str(state.outcome), step.id, step.exit_code, reason, state.hint)


def _lines_of_job(end: JobEnd, verdict: Verdict, evidence: Evidence, lang: str) -> list[str]:
    """What the job's record says, first of all; then what its logs say of the cause, if they do."""
    words = _WORDS[lang]
    code = f"exit code {end.exit_code}"
    told = end.exit_code is None or code in end.reason or end.exit_code < 0
    reason = _cut(end.reason if told else "; ".join(filter(None, (code, end.reason))))
    who = words["step"].format(step=end.step) if end.step else words["job"].format(job=end.id)
    lines = [words[end.outcome].format(who=who, reason=reason)]
    if verdict.category == "unknown" and not verdict.file:
        do = [f"  {words['do']}: {end.hint}"] if end.hint else []
        return [*lines, *do, *([words["unnamed"]] if evidence.files else [])]
    return [*lines, *lines_for(verdict, evidence, lang)]


def _read(target: str) -> tuple[Evidence, Optional[JobState]]:
    """Logs of a folder, a file, or else a job of that id or number, and its state. Raises InvalidInputError."""
    path = Path(target).expanduser()
    if target and os.path.lexists(path):
        return read_logs(path), None
    try:
        folder = find_job(jobs_dir(), target or "-", exactly=True)
    except InvalidInputError:
        raise InvalidInputError(
            f"{target!r} is no folder, no file and no job.", "Give a folder of logs, a log, or the id of a job."
        ) from None
    state = read_state(folder)
    try:
        return read_logs_of_job(folder), state
    except InvalidInputError:
        if _end_of(state) is None:
            raise
        return Evidence(), state  # it failed before a step had begun


def lines_for(verdict: Verdict, evidence: Evidence, lang: str) -> list[str]:
    """The verdict for people, in about a dozen lines."""
    words = _WORDS[lang]
    if not evidence.files:
        return [words["empty"]]
    if not verdict.failed:
        files = (
            f"{evidence.files} log{'' if evidence.files == 1 or lang == 'zh' else 's'} ({short_size(evidence.size)})"
        )
        return [words["nothing"].format(files=files)]
    if verdict.category == "unknown":
        lines = [words["unknown"]]
    else:
        code = f" ({verdict.code})" if verdict.code else ""
        lines = [words["cause"].format(title=title(verdict.category, lang), code=code)]
    if verdict.file:
        lines += [
            f"  {words['where']}: {_place(verdict.rank, verdict.host, verdict.file, verdict.line, words)}",
            f"  {words['says']}: {_cut(verdict.quote)}",
        ]
    lines.append(f"  {words['do']}: {verdict.remedy_zh if lang == 'zh' else verdict.remedy_en}")
    for mention in verdict.louder:
        lines += _louder(mention, words, lang)
    if not verdict.file or not verdict.sure:
        lines += [f"  {words['early']}: {_mention(mention, words)}" for mention in verdict.suspicious[:3]]
    lines.append(f"  {words['certainty']}: {words['sure' if verdict.sure else 'unsure']}")
    return lines


def _louder(mention: Mention, words: dict[str, str], lang: str) -> list[str]:
    why = mention.why_zh if lang == "zh" else mention.why_en
    times = f", {words['times'].format(count=mention.count)}" if mention.count > 1 else ""
    return [f"  {words['louder']} ({why}{times}): {_mention(mention, words)}"]


def _mention(mention: Mention, words: dict[str, str]) -> str:
    return f"{_place(mention.rank, '', mention.file, mention.line, words)}: {_cut(mention.quote)}"


def _place(rank: Optional[int], host: str, file: str, line: Optional[int], words: dict[str, str]) -> str:
    who = [words["rank"].format(rank=rank)] if rank is not None else []
    return ", ".join([*who, *([host] if host else []), f"{file}:{line}"])


def _cut(quote: str) -> str:
    text = _STAMP.sub("", " ".join(neutralise(quote).split()))
    return text if len(text) <= SHOWN_OF_A_LINE else f"{text[: SHOWN_OF_A_LINE - 3]}..."
