"""Reads and writes job folders: spec.json, state.json, events.jsonl, metrics.jsonl, logs, exits and lock."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, TypeVar

from pydantic import BaseModel, ValidationError

from sft_tui.core.job import Event, JobSpec, JobState, PartOf, StepExit, initial_state
from sft_tui.core.plan import Plan
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.append import append_line
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.regular_file import NotRegularError, open_regular
from sft_tui.files.small_file import read_small_bytes, read_small_text
from sft_tui.files.whole_file import sync_folder, write_private

SUBMITTED_SECONDS = 10.0  # after which a folder that still has no state is damaged
READ_AT_MOST = 4 << 20  # bytes of events a call
_Stored = TypeVar("_Stored", bound=BaseModel)


class EventsRead(NamedTuple):
    """Events, the offset to go on from, and whether there is more already."""

    events: list[Event]
    offset: int
    more: bool


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

    @property
    def metrics(self) -> Path:
        """What trainings measured; one JSON object a line (`metrics/store.py`)."""
        return self.path / "metrics.jsonl"

    def step_log(self, step_id: str) -> Path:
        """Written by the step itself."""
        return self.path / "logs" / f"{step_id}.log"

    def step_exit(self, step_id: str) -> Path:
        """How the step ended."""
        return self.path / "exits" / f"{step_id}.json"

    def save_exit(self, record: StepExit) -> None:
        """Write how a step ended. Raises OSError."""
        make_private_dir(self.path / "exits")
        write_private(self.step_exit(record.step), record.model_dump_json(indent=1))

    def load_spec(self) -> JobSpec:
        """What was submitted. Raises SftError."""
        return _load(JobSpec, self.path / "spec.json")

    def load_state(self) -> JobState:
        """The state as last written. Raises SftError."""
        state = _load(JobState, self.path / "state.json")
        if state.id != self.id:
            raise SftError(
                f"{self.path / 'state.json'} is that of job {state.id}.", "The folder was renamed or copied."
            )
        return state

    def save_state(self, state: JobState) -> None:
        """Replace the state. Raises OSError."""
        write_private(self.path / "state.json", state.model_dump_json(indent=1))

    def append_event(self, event: Event) -> None:
        """Append an event. Raises OSError."""
        append_line(self.events, event.model_dump_json())

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Events from a byte offset on, and the offset to go on from; as `read_some_events`."""
        return self.read_some_events(offset)[:2]

    def read_some_events(self, offset: int = 0, *, kind: str = "") -> EventsRead:
        """Events of 4 MB from a byte offset on, of one `kind` or of all; a torn last line is left for later.

        Raises OSError, but for a file that is not there.
        """
        try:
            handle = open_regular(self.events)
        except (FileNotFoundError, NotRegularError):
            return EventsRead([], offset, False)
        try:
            data = os.pread(handle, READ_AT_MOST, offset)
        finally:
            os.close(handle)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == READ_AT_MOST:  # no line of ours is so long
            return EventsRead([], offset + len(data), True)
        return EventsRead(list(_parse_events(data[:end], kind)), offset + end, len(data) == READ_AT_MOST)

    def iterate_events(self, kind: str = "") -> Iterator[Event]:
        """All events, of one `kind` or of all; a part of the file in memory at a time. Raises OSError."""
        offset, more = 0, True
        while more:
            events, offset, more = self.read_some_events(offset, kind=kind)
            yield from events


def _parse_events(data: bytes, kind: str) -> Iterator[Event]:
    word = f'"{kind}"'.encode()
    if kind and word not in data:
        return
    for line in data.split(b"\n"):
        if kind and word not in line:  # to read what is not wanted takes seconds where there are many
            continue
        # an event kind of a later version or a line torn by a full disk
        with contextlib.suppress(ValidationError):
            event = Event.model_validate_json(line)
            if not kind or event.kind == kind:
                yield event


def _load(kind: type[_Stored], path: Path) -> _Stored:
    try:
        return kind.model_validate_json(read_small_bytes(path))
    except OSError as error:
        raise SftError(
            f"{path} cannot be read: {error.strerror}.", "The job's folder is damaged or not yours."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SftError(
            f"{path} is not a valid job file: {where + ': ' if where else ''}{first['msg']}.",
            "It may be of a later sft-tui.",
        ) from error


def job_number(name: str) -> int:
    """The number that a job's id begins with; 0 for what is no job."""
    digits = name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def _next_id(jobs_dir: Path, profile: str) -> str:
    """Counts on: short to type, and in the order of submission whatever the clock does.

    The last number is kept in a file, so that the number of a removed job does not come back.
    """
    last = jobs_dir / ".last"
    kept = 0
    with contextlib.suppress(OSError, InvalidInputError):
        kept = job_number(read_small_text(last, 100).strip())
    number = max(kept, *(job_number(p.name) for p in jobs_dir.iterdir()), 0) + 1
    write_private(last, f"{number}\n")
    return f"{number}-{profile}"


def create_job(
    jobs_dir: Path,
    plan: Plan,
    *,
    from_step: str = "",
    until_step: str = "",
    after: tuple[str, ...] = (),
    stop_grace_seconds: float,
    into: bool = False,
    part_of: Optional[PartOf] = None,
) -> tuple[JobFolder, JobState]:
    """Make the folder of a new job with its spec; its first state is not written yet, so nobody lists it.

    Raises OSError.
    """
    make_private_dir(jobs_dir)
    while True:
        name = _next_id(jobs_dir, plan.profile) if part_of is None else _part_id(jobs_dir, part_of, plan)
        folder = JobFolder(jobs_dir / name)
        try:
            folder.path.mkdir(mode=0o700)
            break
        except FileExistsError:
            continue
    spec = JobSpec(
        id=folder.id,
        plan=plan.without_secrets(),
        from_step=from_step,
        until_step=until_step,
        after=after,
        stop_grace_seconds=stop_grace_seconds,
        into=into,
        submitted_at=time.time(),
        part_of=part_of,
    )
    make_private_dir(folder.path / "logs")
    write_private(folder.path / "spec.json", spec.model_dump_json(indent=1))
    sync_folder(jobs_dir)
    return folder, initial_state(spec)


def _part_id(jobs_dir: Path, part_of: PartOf, plan: Plan) -> str:
    """`5-demo@train-node1` is done for job 5-demo; another head's job of that name makes it `...node1.2`."""
    name, number = f"{part_of.id}@{plan.steps[0].id}", 1
    while (jobs_dir / (name if number == 1 else f"{name}.{number}")).exists():
        number += 1
    return name if number == 1 else f"{name}.{number}"


def find_parts(jobs_dir: Path, part_of: PartOf, plan: Plan) -> list[JobFolder]:
    """Jobs that do this part of that very job."""
    found = []
    for folder in list_jobs(jobs_dir):
        if folder.id.startswith(f"{part_of.id}@{plan.steps[0].id}"):
            with contextlib.suppress(SftError):
                spec = folder.load_spec()
                if spec.part_of == part_of and spec.plan.steps[0].id == plan.steps[0].id:
                    found.append(folder)
    return found


def list_jobs(jobs_dir: Path, *, settled: bool = False) -> list[JobFolder]:
    """All jobs, damaged ones as well, oldest first; on a shared disk the parts of a job come before it.

    `settled`: nobody submits one meanwhile, so that one without a state is damaged, however young it is.
    """
    if not jobs_dir.is_dir():
        return []
    folders = [p for p in jobs_dir.iterdir() if job_number(p.name) and _is_job(p, settled)]
    return [JobFolder(p) for p in sorted(folders, key=lambda p: (job_number(p.name), "@" not in p.name, p.name))]


def _is_job(path: Path, settled: bool) -> bool:
    """A job's folder has a state, but for a moment while it is submitted."""
    if (path / "state.json").is_file():
        return True
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (settled or time.time() - status.st_mtime > SUBMITTED_SECONDS)


def find_job(jobs_dir: Path, wanted: str, *, exactly: bool = False) -> JobFolder:
    """The job of that id or number, else the newest whose id contains the text; empty: the newest of all.

    `exactly`: only by its id or number. Raises InvalidInputError.
    """
    jobs = list_jobs(jobs_dir)
    matching = [j for j in jobs if wanted in (j.id, str(job_number(j.id)))]
    if not matching and not exactly:
        matching = [j for j in jobs if wanted in j.id]
    if not matching:
        raise InvalidInputError(
            f"There is no job {wanted!r}." if wanted else "There are no jobs yet.", "sft-tui jobs list shows them."
        )
    return matching[-1]
