"""Finds the first cause of a failed step, from its own log and those of its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

from sft_tui.core.plan import Step
from sft_tui.diagnosis.first_error import first_error
from sft_tui.diagnosis.read_logs import Evidence, read_files
from sft_tui.diagnosis.verdict import Verdict, diagnose
from sft_tui.errors import InvalidInputError
from sft_tui.files.stamps import Signature, signature
from sft_tui.logs.worker_logs import worker_logs
from sft_tui.store.job_store import JobFolder

SECONDS_AT_MOST = 10.0  # a job that has failed must not seem to run on


def diagnose_step(step: Step, log: Path, before: Signature, is_given_up: Callable[[], bool] = lambda: False) -> Verdict:
    """The verdict on a step that has just failed; `before`: the logs of its workers when it began. Raises OSError."""
    paths = [*_worker_logs(step, before), log]
    return diagnose(read_files(paths, log.parent, any_name=True, seconds=SECONDS_AT_MOST, is_given_up=is_given_up).logs)


def read_logs_of_job(folder: JobFolder) -> Evidence:
    """The logs of the step that failed, else of all that have run. Raises InvalidInputError, SftError."""
    spec, state = folder.load_spec(), folder.load_state()
    ended_badly = state.current_step
    ran = [ended_badly] if ended_badly is not None else [s for s in state.steps if s.started_at is not None]
    paths: list[Path] = []
    for step in ran:
        paths += _worker_logs(spec.plan.step(step.id), {}, since=step.started_at)
        paths.append(folder.step_log(step.id))
    found = [path for path in paths if path.is_file()]
    if not found:
        raise InvalidInputError(f"Job {folder.id} has no logs yet.", f"sft-tui jobs show {folder.id}")
    return read_files(found, found[0].parent, any_name=True)


def sign_worker_logs(step: Step) -> Signature:
    """What stands where the workers of the step log. Raises OSError."""
    return signature(Path(step.training_log).parent) if step.training_log else {}


def why_failed(step: Step, log: Path, before: Signature, is_given_up: Callable[[], bool] = lambda: False) -> str:
    """Why the step failed, from the logs of its workers and its own; `before`: their logs when it began."""
    fresh: list[Path] = []
    if step.training_log:
        last_worker = Path(step.training_log)
        now = signature(last_worker.parent)
        # an earlier run leaves its logs
        fresh = [path for path in worker_logs(last_worker) if now.get(path.name) != before.get(path.name)]
    return first_error([*fresh, log], is_given_up)


def _worker_logs(step: Step, before: Signature, since: Optional[float] = None) -> list[Path]:
    """Logs that msrun and its workers wrote in this attempt; an earlier one leaves its own."""
    if not step.training_log:
        return []
    place = Path(step.training_log).parent
    now = signature(place)
    fresh = [place / name for name in sorted(now) if name.endswith(".log") and now[name] != before.get(name)]
    return [path for path in fresh if since is None or path.stat().st_mtime >= since]
