"""Whether a step left what it promised, and whether it would do the same work again.

After a step succeeded, a record of its command, its inputs and its outputs (size and mtime) is kept in the working
folder. A later job of the same profile skips the step as long as all of that is unchanged.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sft_tui.core.plan import Output, Step
from sft_tui.core.training_log import first_error_line
from sft_tui.store.atomic import make_private_dir, write_atomic

RECORD_SCHEMA_VERSION = 1


class StepRecord(BaseModel):
    """What a step did. Signatures map a path to [size, mtime in nanoseconds] of each file in it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = RECORD_SCHEMA_VERSION
    step: str
    job: str
    command: list[str]
    inputs: dict[str, dict[str, tuple[int, int]]]
    outputs: dict[str, dict[str, tuple[int, int]]]
    facts: dict[str, Any] = {}


def signature(path: Path) -> dict[str, tuple[int, int]]:
    """Size and mtime of a file, or of every file in a folder; empty where nothing is."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    else:
        files = [path] if path.is_file() else []
    result = {}
    for file in files:
        status = file.stat()
        result[str(file.relative_to(path)) if file != path else file.name] = (status.st_size, status.st_mtime_ns)
    return result


def missing_output(step: Step, facts: dict[str, Any], since: float) -> str:
    """What the step should have left and did not, or an empty string. `facts` are those its log told."""
    for output in step.outputs:
        problem = _check(output, facts, since)
        if problem:
            return problem
    return ""


def _check(output: Output, facts: dict[str, Any], since: float) -> str:
    path = Path(output.path)
    if output.kind == "perplexity":
        return "" if "perplexity" in facts else f"no perplexity was reported in {path}"
    if output.kind == "weights_loaded":
        return _check_loaded(path, facts)
    if output.kind == "checkpoint_folder":
        # a file system may keep whole seconds only
        fresh = [p for p in path.glob("rank_*/*.ckpt") if p.stat().st_size and p.stat().st_mtime >= since - 2]
        return "" if fresh else f"no new checkpoint is in {path}"
    if not path.is_file() or path.stat().st_size == 0:
        return f"{path} is missing or empty"
    if output.kind in ("ckpt", "mindrecord"):
        return _check_manifest(path)
    if output.kind == "json":
        return _check_json(path)
    return ""


def _check_loaded(path: Path, facts: dict[str, Any]) -> str:
    missing = facts.get("not_loaded")
    if missing is None:
        return f"{path} does not say that the checkpoint was loaded into the network"
    if missing:
        return f"{len(missing)} parameters of the network got nothing from the checkpoint, {missing[0]} among them"
    return ""


def _check_json(path: Path) -> str:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{path} is not valid JSON ({error})"
    return ""


def _check_manifest(path: Path) -> str:
    manifest = path.with_name(path.name + ".json")
    return _check_json(manifest) if manifest.is_file() else f"{manifest} is missing"


def record_path(records_dir: Path, step: Step) -> Path:
    """Where the record of a step is kept."""
    return records_dir / f"{step.id}.json"


def save_record(records_dir: Path, step: Step, job_id: str, facts: dict[str, Any]) -> None:
    """Remember that the step succeeded. Raises OSError."""
    make_private_dir(records_dir)
    record = StepRecord(
        step=step.id,
        job=job_id,
        command=command_of(step),
        inputs={path: signature(Path(path)) for path in step.inputs},
        outputs={output.path: signature(Path(output.path)) for output in step.outputs},
        facts=facts,
    )
    write_atomic(record_path(records_dir, step), record.model_dump_json(indent=1))


def find_record(records_dir: Path, step: Step) -> StepRecord | None:
    """The record of the same work, with inputs and outputs still as they were; None where the step has to run."""
    try:
        record = StepRecord.model_validate_json(record_path(records_dir, step).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    if record.schema_version != RECORD_SCHEMA_VERSION or record.command != command_of(step):
        return None
    if set(record.inputs) != set(step.inputs) or set(record.outputs) != {o.path for o in step.outputs}:
        return None
    for path, seen in [*record.inputs.items(), *record.outputs.items()]:
        if signature(Path(path)) != seen:
            return None
    return record if record.outputs else None


def command_of(step: Step) -> list[str]:
    """What has to be the same for the work to be the same: command and environment."""
    return [*step.argv, *(f"{name}={value}" for name, value in sorted(step.env.items()))]


def first_error(step: Step, log: Path) -> str:
    """Why the step failed, from the logs of its workers and its own."""
    logs = [log]
    if step.training_log:
        folder = Path(step.training_log).parent
        logs = [*sorted(folder.glob("worker_*.log"), key=_rank), *logs]
    last = ""
    for path in logs:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                last = first_error_line(line[:2000] for line in file) or last
        except OSError:
            continue
        if re.search(r"error|exception|killed", last, re.IGNORECASE):
            break
    return last[:500]


def _rank(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else 0
