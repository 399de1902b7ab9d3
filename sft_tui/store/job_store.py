"""Folders of jobs: `spec.json`, `state.json`, `events.jsonl`, `logs/`, `lock`."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, TypeVar

from pydantic import BaseModel, ValidationError

from sft_tui.core.job import STOP_GRACE_SECONDS, Event, JobSpec, JobState, initial_state
from sft_tui.core.plan import Plan
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.store.atomic import append_line, make_private_dir, sync_dir, write_atomic

_Stored = TypeVar("_Stored", bound=BaseModel)


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @property
    def id(self) -> str:
        """The job's id is the folder's name."""
        return self.path.name

    @property
    def lock(self) -> Path:
        """Held by the supervisor for its whole life."""
        return self.path / "lock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself says."""
        return self.path / "supervisor.log"

    @property
    def events(self) -> Path:
        """One JSON object a line."""
        return self.path / "events.jsonl"

    def step_log(self, step_id: str) -> Path:
        """Written by the step itself."""
        return self.path / "logs" / f"{step_id}.log"

    def load_spec(self) -> JobSpec:
        """What was submitted. Raises SftError."""
        return _load(JobSpec, self.path / "spec.json")

    def load_state(self) -> JobState:
        """The state as last written. Raises SftError."""
        return _load(JobState, self.path / "state.json")

    def save_state(self, state: JobState) -> None:
        """Replace the state. Raises OSError."""
        write_atomic(self.path / "state.json", state.model_dump_json(indent=1))

    def append_event(self, event: Event) -> None:
        """Append an event. Raises OSError."""
        append_line(self.events, event.model_dump_json())

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Events from a byte offset on, and the offset to go on from; a torn last line is left for later."""
        try:
            with self.events.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        end = data.rfind(b"\n") + 1
        return list(_parse_events(data[:end])), offset + end


def _parse_events(data: bytes) -> Iterator[Event]:
    for line in data.split(b"\n"):
        # an event kind of a later version, or a line torn by a full disk
        with contextlib.suppress(ValidationError):
            yield Event.model_validate_json(line)


def _load(kind: type[_Stored], path: Path) -> _Stored:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SftError(
            f"{path} cannot be read: {error.strerror}.", "The job's folder is damaged or not yours."
        ) from error
    except ValidationError as error:
        raise SftError(
            f"{path} is not a valid job file: {error.errors()[0]['msg']}.", "It may be of a later sft-tui."
        ) from error


def new_job_id(profile: str, now: float) -> str:
    """Sorts by time, says the profile, and is unique."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{profile}-{secrets.token_hex(2)}"


def create_job(
    jobs_dir: Path,
    plan: Plan,
    *,
    from_step: str = "",
    until_step: str = "",
    stop_grace_seconds: float = STOP_GRACE_SECONDS,
) -> tuple[JobFolder, JobState]:
    """Make the folder of a new job with its spec; its first state is not written yet, so nobody lists it.

    Raises OSError.
    """
    make_private_dir(jobs_dir)
    while True:
        now = time.time()
        folder = JobFolder(jobs_dir / new_job_id(plan.profile, now))
        try:
            folder.path.mkdir(mode=0o700)
            break
        except FileExistsError:
            continue
    spec = JobSpec(
        id=folder.id,
        plan=plan,
        from_step=from_step,
        until_step=until_step,
        stop_grace_seconds=stop_grace_seconds,
        submitted_at=now,
    )
    make_private_dir(folder.path / "logs")
    write_atomic(folder.path / "spec.json", spec.model_dump_json(indent=1))
    sync_dir(jobs_dir)
    return folder, initial_state(spec)


def list_jobs(jobs_dir: Path) -> list[JobFolder]:
    """All jobs, oldest first."""
    if not jobs_dir.is_dir():
        return []
    return [JobFolder(p) for p in sorted(jobs_dir.iterdir()) if (p / "state.json").is_file()]


def find_job(jobs_dir: Path, wanted: str) -> JobFolder:
    """The job of that id, or whose id starts with or contains it; empty: the newest. Raises InvalidInputError."""
    jobs = list_jobs(jobs_dir)
    matching = [j for j in jobs if j.id == wanted] or [j for j in jobs if j.id.startswith(wanted)]
    matching = matching or [j for j in jobs if wanted in j.id]
    if not matching:
        raise InvalidInputError(
            f"There is no job {wanted!r}." if wanted else "There are no jobs yet.", "sft-tui jobs list shows them."
        )
    if len(matching) > 1 and wanted:
        raise InvalidInputError(
            f"{wanted!r} fits {len(matching)} jobs: {', '.join(j.id for j in matching[:5])}.", "Type more of the id."
        )
    return matching[-1]
