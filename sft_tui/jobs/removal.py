"""Removes finished jobs: the job's own folder (what it recorded, and its logs), never what its steps made."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Iterator, Mapping, Sequence

from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.whole_file import sync_folder
from sft_tui.jobs.leftovers import left_running, look_again, marked
from sft_tui.jobs.queue import gate
from sft_tui.jobs.read_state import is_supervised, read_state
from sft_tui.store.job_store import JobFolder, list_jobs

_REMOVING = ".removing-"


def disk_usage(folder: Path) -> int:
    """Bytes on disk of a folder and of everything in it."""
    return sum(status.st_blocks * 512 for status in _entries(folder))


def _entries(folder: Path) -> Iterator[os.stat_result]:
    yield folder.lstat()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield (Path(parent) / name).lstat()


def check_removable(folder: JobFolder, waited_for: Mapping[str, str]) -> None:
    """Raises InvalidInputError for a job that has not ended, of which something runs, or that another waits for.

    `waited_for` is what `find_waited_for` found.
    """
    if folder.path.is_symlink():
        raise InvalidInputError(f"{folder.path} is a link.", "Remove it by hand, if it is yours.")
    try:
        state = folder.load_state()
        recorded, finished = state.finished, read_state(folder).finished
    except SftError:  # damaged: nothing can be told of it, but whether something of it runs
        look_again()
        recorded = finished = not is_supervised(folder) and not marked(folder.path)
        state = None
    if not finished:
        raise InvalidInputError(f"Job {folder.id} has not ended.", f"sft-tui jobs stop {folder.id} ends it.")
    if not recorded and state is not None:
        look_again()
        if left := left_running(folder, state):
            raise InvalidInputError(
                f"Of the lost job {folder.id}, process {left[0].pid} still runs.",
                f"sft-tui jobs stop {folder.id} ends it.",
            )
    if (follower := waited_for.get(folder.id)) is not None:
        raise InvalidInputError(
            f"Job {follower} waits for job {folder.id}.", f"sft-tui jobs stop {follower} takes it out of the queue."
        )


def find_waited_for(jobs_dir: Path) -> dict[str, str]:
    """Jobs that others wait for, with one of these."""
    found: dict[str, str] = {}
    for job in list_jobs(jobs_dir):
        with contextlib.suppress(SftError):
            if is_supervised(job) and job.load_state().lifecycle == "queued":
                found.update(dict.fromkeys(job.load_spec().after, job.id))
    return found


def remove_jobs(jobs_dir: Path, folders: Sequence[JobFolder]) -> int:
    """Remove the folders of finished jobs; the bytes that became free. Raises InvalidInputError, OSError."""
    with gate(jobs_dir):
        waited_for = find_waited_for(jobs_dir)
        for folder in folders:
            check_removable(folder, waited_for)
        usage = sum(disk_usage(folder.path) for folder in folders)
        for folder in folders:  # out of sight in one go: nobody may read half a job
            folder.path.rename(jobs_dir / f"{_REMOVING}{folder.id}")
        sync_folder(jobs_dir)
    for doomed in jobs_dir.glob(f"{_REMOVING}*"):  # with those of a removal that was killed
        shutil.rmtree(doomed)
    return usage
