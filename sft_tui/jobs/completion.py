"""Whether a step left what it promised, and whether it would do the same work again.

After a step succeeded, a record of its command, its inputs and its outputs (size and mtime) is kept in the working
folder. A later job of the same profile skips the step as long as all of that is unchanged.

Success is not exit code 0: a step must leave its `outputs`, and a training a line that says that every parameter of
the network was loaded. MindFormers trains on from random weights otherwise, and exits with 0.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sft_tui.core.plan import Output, Plan, Step
from sft_tui.core.secret_names import looks_secret
from sft_tui.errors import InvalidInputError
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.saved_states import CHECKPOINT_SUFFIXES
from sft_tui.files.small_file import read_small_bytes, read_small_text
from sft_tui.files.stamps import Signature, Signatures, signature
from sft_tui.files.whole_file import write_private
from sft_tui.logs.tail import iterate_lines
from sft_tui.logs.training_log import LoadedWeights, parse_line
from sft_tui.logs.worker_logs import rank_of_log, worker_logs

RECORD_SCHEMA_VERSION = 1
MAX_JSON_BYTES = 256 << 20  # an index of many tensors, a manifest, a record with the signatures of many files
# the runner was in another folder once: what was done then is done
_RENAMED, _NOW = re.compile(r"(/sft_tui)/launch/(runner\.py|cpu)(?=$|\")"), r"\1/launch/runtime/\2"
_WITH_MANIFEST = ("ckpt", "mindrecord")


class StepRecord(BaseModel):
    """What a step did."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    schema_version: int = RECORD_SCHEMA_VERSION
    step: str
    job: str
    command: list[str]
    inputs: Signatures
    outputs: Signatures
    facts: dict[str, Any] = {}


def sign_inputs(step: Step) -> Signatures:
    """What the step is about to read. Raises OSError."""
    return {path: signature(Path(path)) for path in step.inputs}


def sign_outputs(step: Step) -> Signatures:
    """What stands now where the step writes. Raises OSError."""
    signatures = {output.path: signature(Path(output.path)) for output in step.outputs}
    manifests = [_manifest(output.path) for output in step.outputs if output.kind in _WITH_MANIFEST]
    return {**signatures, **{path: signature(Path(path)) for path in manifests}}


def missing_output(step: Step, facts: dict[str, Any], before: Signatures) -> str:
    """What the step should have left and did not, or an empty string.

    `facts` are those its log told, `before` is what stood where it writes before it began.
    """
    for output in step.outputs:
        problem = _check(output, facts, before.get(output.path, {}))
        if problem:
            return problem
    return ""


def _check(output: Output, facts: dict[str, Any], before: Signature) -> str:
    path = Path(output.path)
    if output.kind == "perplexity":
        return "" if "perplexity" in facts else f"no perplexity was reported in {path}"
    if output.kind == "weights_loaded":
        return _check_loaded(path, facts)
    if output.kind == "checkpoint_folder":
        return "" if new_checkpoints(path, before) else f"no new checkpoint is in {path}"
    if output.kind == "hf_folder":
        return _check_folder(path)
    if not path.is_file() or path.stat().st_size == 0:
        return f"{path} is missing or empty"
    if output.kind in _WITH_MANIFEST:
        return _check_manifest(path)
    if output.kind == "json":
        return _check_json(path)
    return ""


def _check_folder(path: Path) -> str:
    """config.json and weights are there."""
    problem = _check_json(path / "config.json")
    weights = [file for file in path.glob("*.safetensors") if file.is_file() and file.stat().st_size]
    return problem or ("" if weights else f"no safetensors file is in {path}")


def new_checkpoints(folder: Path, before: Signature) -> list[str]:
    """Checkpoints that were not there before; told without a clock, for a file server has its own."""
    return [
        name
        for name, seen in signature(folder).items()
        if seen[0] and name.startswith("rank_") and name.endswith(CHECKPOINT_SUFFIXES) and before.get(name) != seen
    ]


def _check_loaded(path: Path, facts: dict[str, Any]) -> str:
    missing = facts.get("not_loaded")
    if missing is None:
        return f"{path} does not say that the checkpoint was loaded into the network"
    if missing:
        return f"{len(missing)} parameters of the network got nothing from the checkpoint, {missing[0]} among them"
    return ""


def _check_json(path: Path) -> str:
    try:
        json.loads(read_small_text(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        return f"{path} is not valid JSON ({error})"
    except InvalidInputError as error:
        return error.message.rstrip(".")
    return ""


def _manifest(path: str) -> str:
    return f"{path}.json"


def _check_manifest(path: Path) -> str:
    manifest = Path(_manifest(str(path)))
    return _check_json(manifest) if manifest.is_file() else f"{manifest} is missing"


def records_dir(step: Step) -> Path:
    """Where the records of a step and its like are kept: in its working folder."""
    return Path(step.cwd) / ".sft-tui"


def record_path(records_dir: Path, step: Step) -> Path:
    """Where the record of a step is kept."""
    return records_dir / f"{step.id}.json"


def save_record(records_dir: Path, step: Step, job_id: str, facts: dict[str, Any], inputs: Signatures) -> None:
    """Remember that the step succeeded with the inputs as they were when it began. Raises OSError."""
    make_private_dir(records_dir)
    record = StepRecord(
        step=step.id,
        job=job_id,
        command=command_of(step),
        inputs=inputs,
        outputs=sign_outputs(step),
        facts=facts,
    )
    write_private(record_path(records_dir, step), record.model_dump_json(indent=1))
    for path in (_begun_path(records_dir, step), _earlier_path(records_dir, step)):
        path.unlink(missing_ok=True)


def _begun_path(records_dir: Path, step: Step) -> Path:
    return records_dir / f"{step.id}.begun.json"


def _earlier_path(records_dir: Path, step: Step) -> Path:
    return records_dir / f"{step.id}.begun.earlier.json"


def note_begin(
    records_dir: Path, step: Step, job_id: str, inputs: Signatures, before: Signatures, *, keep_earlier: bool
) -> None:
    """A step that begins is not done until it has ended well, whatever an earlier run left. Raises OSError.

    What it reads, and what stands where it writes, is kept: so the next run knows what an interrupted one has left.
    `keep_earlier`: an attempt before this one left something to go on from, which counts until this one leaves more.
    """
    record_path(records_dir, step).unlink(missing_ok=True)
    if step.resume:
        return  # it goes on with what an earlier attempt left: that stays the beginning
    make_private_dir(records_dir)
    if keep_earlier:
        _begun_path(records_dir, step).replace(_earlier_path(records_dir, step))
    begun = StepRecord(step=step.id, job=job_id, command=command_of(step), inputs=inputs, outputs=before)
    write_private(_begun_path(records_dir, step), begun.model_dump_json(indent=1))


def forget_begin(records_dir: Path, step: Step) -> None:
    """What the step left is nothing to go on from. Raises OSError."""
    _begun_path(records_dir, step).unlink(missing_ok=True)


def find_begun(records_dir: Path, step: Step) -> list[StepRecord]:
    """How the same work began that has not ended well since, the newest attempt first."""
    paths = (_begun_path(records_dir, step), _earlier_path(records_dir, step))
    records = [record for path in paths if (record := _load_record(path, step)) is not None]
    try:
        inputs = sign_inputs(step)
    except OSError:
        return []
    return [record for record in records if record.inputs == inputs]


def find_record(records_dir: Path, step: Step) -> StepRecord | None:
    """The record of the same work, with inputs and outputs still as they were; None where the step has to run."""
    record = _load_record(record_path(records_dir, step), step)
    try:
        same = record is not None and (record.inputs, record.outputs) == (sign_inputs(step), sign_outputs(step))
    except OSError:
        return None
    return record if record is not None and same and record.outputs else None


def _load_record(path: Path, step: Step) -> StepRecord | None:
    """The record, if it is of this version and of the same command."""
    try:
        record = StepRecord.model_validate_json(read_small_bytes(path, MAX_JSON_BYTES))
    except (OSError, ValueError, InvalidInputError):
        return None
    command = [_RENAMED.sub(_NOW, word) for word in record.command]
    same = record.schema_version == RECORD_SCHEMA_VERSION and command == command_of(step)
    return record if same else None


def current_steps(plan: Plan) -> frozenset[str]:
    """Steps that a job of this plan would skip: done, and nothing that they read is about to change."""
    changing = _changing_files(plan)
    current: set[str] = set()
    for step in plan.steps:
        if step.not_needed:
            continue
        if changing.isdisjoint(step.inputs) and find_record(records_dir(step), step) is not None:
            current.add(step.id)
        else:
            changing.update(output.path for output in step.outputs)
    return frozenset(current)


def changing_paths(plan: Plan, current: frozenset[str]) -> set[str]:
    """What a job of this plan would write anew, `current` being the steps that it would skip."""
    steps = (s for s in plan.steps if not s.not_needed and s.id not in current)
    return _changing_files(plan) | {output.path for step in steps for output in step.outputs}


def _changing_files(plan: Plan) -> set[str]:
    return {file.path for file in plan.files if not has_text(Path(file.path), file.text)}


def has_text(path: Path, text: str) -> bool:
    """The file is there and says just that."""
    try:
        written = read_small_text(path)
    except (OSError, InvalidInputError):
        return False
    # what nodes are told names the runner
    return written == text or (path.name.endswith(".nodes.json") and _RENAMED.sub(_NOW, written) == text)


def command_of(step: Step) -> list[str]:
    """What has to be the same for the work to be the same: command and environment, secrets left out."""
    environment = {name: value for name, value in step.env.items() if not looks_secret(name)}
    return [*step.argv, *(f"{name}={value}" for name, value in sorted({**environment, **step.search_paths}.items()))]


def note_other_workers(step: Step, facts: dict[str, Any]) -> None:
    """Add to `facts` what the other workers' logs say of parameters that were not loaded."""
    if "not_loaded" not in facts or not step.training_log:
        return
    last = Path(step.training_log)
    for path in worker_logs(last):
        if rank_of_log(path) < rank_of_log(last):
            lines = iterate_lines(path, words=(b"parameters are not loaded: ",))
            loaded = [fact for fact in map(parse_line, lines) if isinstance(fact, LoadedWeights)]
            facts["not_loaded"] += [name for fact in loaded for name in fact.not_loaded]
