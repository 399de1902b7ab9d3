"""Writes big files so that whoever looks finds the old one or the whole new one, never a half."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Iterator, Optional, Sequence

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files.whole_file import not_written, partial_name, sync_folder

SUFFIX = ".ckpt"
# So that the disk works while we do: what was written is brought to it every so many bytes, by a thread of its own.
SYNC_BYTES = 256 * 1024 * 1024
# Larger writes make ext4 look for large runs of free memory: two to five times slower, seen on Linux 6.
WRITE_BYTES = 256 * 1024


def check_output(output: Path, inputs: Sequence[Path], needed: int, *, force: bool) -> None:
    """See that `needed` bytes can be written to `output`, before any work. Writes nothing.

    Raises InvalidInputError for a name that cannot be meant, EnvironmentNotFitError for missing rights or a full disk.
    """
    try:
        _check_name(output, inputs, force)
        check_room(output, needed)
    except OSError as error:
        raise not_written(output, error) from error


def _check_name(output: Path, inputs: Sequence[Path], force: bool) -> None:
    if output.suffix != SUFFIX:
        raise InvalidInputError(f"{output} does not end with {SUFFIX}.", "MindSpore loads no other name.")
    if output.is_dir():
        raise InvalidInputError(f"{output} is a folder, not a file.", "Give the name of the file to write.")
    real = output.resolve()
    if any(real == path.resolve() for path in inputs):
        raise InvalidInputError(f"{output} is one of the files to convert.", "Give the output another name.")
    if output.exists() and not force:
        raise InvalidInputError(f"{output} exists already.", "Give --force to replace it, or another name.")


def check_room(output: Path, needed: int) -> None:
    """See that `needed` bytes fit on the disk of `output`, and that something can be made there. Raises OSError too."""
    folder = output.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file, not a folder.", "Choose another place for the output.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EnvironmentNotFitError(f"{folder} cannot be written by you.", "Choose another folder, or get the rights.")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentNotFitError(
            f"The disk of {folder} has {free / 1e9:.2f} GB free; {output.name} needs {needed / 1e9:.2f} GB.",
            "Free some room, or choose a folder on another disk.",
        )


def remove_leftovers(output: Path) -> None:
    """Remove what a killed run left of this very output: hidden, partial, and locked by nobody."""
    for left in output.parent.glob(f".{escape(output.name)}.*.partial"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()
            finally:
                os.close(handle)


def lock_partial(handle: int) -> None:
    """Show that somebody still works at this; where a file system has no locks, nothing is removed."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class PartialFile:
    """A new file under a hidden name beside its target. All methods raise EnvironmentNotFitError."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = partial_name(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise not_written(target, error) from error
        lock_partial(self._handle)
        self._sync = _BackgroundSync(self._handle)
        self._end = self._unsynced = 0

    def write(self, data: bytes) -> None:
        """Append all of the data."""
        self.write_at(self._end, memoryview(data))
        self._end += len(data)

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the data at that place; several threads may."""
        try:
            while data:
                written = os.pwrite(self._handle, data[: WRITE_BYTES - offset % WRITE_BYTES], offset)
                offset += written
                data = data[written:]
                self._unsynced += written  # torn between threads now and then; it only says about when to sync
            if self._unsynced >= SYNC_BYTES:
                self._unsynced = 0
                self._sync.ask()
        except OSError as error:
            raise not_written(self._target, error) from error

    def finish(self) -> None:
        """Bring everything to the disk. It stays open, and so locked, until it is published."""
        try:
            self._sync.close()
            os.fsync(self._handle)
        except OSError as error:
            raise not_written(self._target, error) from error

    def publish(self) -> None:
        """Take the target's place; for good once the folder is synced."""
        try:
            self._path.replace(self._target)
            self._close()
        except OSError as error:
            raise not_written(self._target, error) from error

    def discard(self) -> None:
        """Remove what was not published."""
        with suppress(OSError):
            self._sync.close()
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._path.unlink()

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class _BackgroundSync:
    """A thread that syncs a file whenever it is asked to. Its error is raised at the next call."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._asked = threading.Event()
        self._done = False
        self._error: Optional[OSError] = None
        self._thread: Optional[threading.Thread] = None

    def ask(self) -> None:
        """Sync soon."""
        if self._error is not None:
            raise self._error
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()
        self._asked.set()

    def close(self) -> None:
        """Wait for the thread, and end it."""
        self._done = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._done:
                return
            try:
                os.fdatasync(self._handle)
            except OSError as error:
                self._error = error
                return


def publish_together(*files: PartialFile, folder: Path) -> None:
    """Put finished files in their places, one after the other, for good. Raises EnvironmentNotFitError."""
    for file in files:
        file.publish()
    try:
        sync_folder(folder)
    except OSError as error:
        raise not_written(folder, error) from error


@contextmanager
def open_partial(target: Path) -> Iterator[PartialFile]:
    """A new file that is gone at the end of the block unless it was published."""
    partial = PartialFile(target)
    try:
        yield partial
    finally:
        partial.discard()
