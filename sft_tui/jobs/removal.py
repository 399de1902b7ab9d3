"""Removes finished jobs: the job's own folder (what it recorded, and its logs), never what its steps made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator

from sft_tui.errors import InvalidInputError, SftError
from sft_tui.jobs.leftovers import left_running, look_again
from sft_tui.jobs.queue import gate
from sft_tui.jobs.true_state import is_supervised, read_state
from sft_tui.store.job_store import JobFolder, list_jobs
from sft_tui.whole_file import sync_folder

_REMOVING = ".removing-"


def disk_usage(folder: Path) -> int:
    """Bytes on disk of a folder and of everything in it."""
    return sum(status.st_blocks * 512 for status in _entries(folder))


def _entries(folder: Path) -> Iterator[os.stat_result]:
    yield folder.lstat()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield (Path(parent) / name).lstat()


def check_removable(folder: JobFolder) -> None:
    """Raises InvalidInputError for a job that has not ended, of which something runs, or that another waits for."""
    if folder.path.is_symlink():
        raise InvalidInputError(f"{folder.path} is a link.", "Remove it by hand, if it is yours.")
    try:
        state = folder.load_state()
        recorded, finished = state.finished, read_state(folder).finished
    except SftError:  # damaged: nothing can be told of it, but whether it has a supervisor
        recorded = finished = not is_supervised(folder)
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
    for other in list_jobs(folder.path.parent):
        if other.id != folder.id and is_supervised(other) and folder.id in other.load_spec().after:
            raise InvalidInputError(
                f"Job {other.id} waits for job {folder.id}.", f"sft-tui jobs stop {other.id} takes it out of the queue."
            )


def remove_job(folder: JobFolder) -> int:
    """Remove the folder of a finished job; the bytes that became free. Raises InvalidInputError, OSError."""
    jobs_dir = folder.path.parent
    with gate(jobs_dir):
        check_removable(folder)
        for half in jobs_dir.glob(f"{_REMOVING}*"):  # from a removal that was killed
            shutil.rmtree(half)
        usage = disk_usage(folder.path)
        # out of sight in one go: nobody may read half a job
        doomed = jobs_dir / f"{_REMOVING}{folder.id}"
        folder.path.rename(doomed)
        sync_folder(jobs_dir)
        shutil.rmtree(doomed)
    return usage
