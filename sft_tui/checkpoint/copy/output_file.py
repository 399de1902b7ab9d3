"""Writes a big file whole, from several threads; and sees beforehand that it can be written."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Optional, Sequence

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files import disk_room
from sft_tui.files.whole_file import PartialFile, check_replaceable, naming

SUFFIX = ".ckpt"
# So that the disk works while we do: what was written is brought to it every so many bytes, by a thread of its own.
SYNC_BYTES = 256 * 1024 * 1024
# Larger writes make ext4 look for large runs of free memory: two to five times slower, seen on Linux 6.
WRITE_BYTES = 256 * 1024


def check_output(output: Path, inputs: Sequence[Path], needed: int, *, force: bool) -> None:
    """See that `needed` bytes can be written to `output`, before any work. Writes nothing.

    Raises InvalidInputError for a name that cannot be meant, EnvironmentNotFitError for missing rights or a full disk.
    """
    with naming(output):
        _check_name(output, inputs, force)
        check_room(output, needed)


def _check_name(output: Path, inputs: Sequence[Path], force: bool) -> None:
    if output.suffix != SUFFIX:
        raise InvalidInputError(f"{output} does not end with {SUFFIX}.", "MindSpore loads no other name.")
    check_replaceable(output)
    real = output.resolve()
    if any(real == path.resolve() for path in inputs):
        raise InvalidInputError(f"{output} is one of the files to convert.", "Give the output another name.")
    if output.exists() and not force:
        raise InvalidInputError(f"{output} exists already.", "Give --force to replace it, or another name.")


def check_room(output: Path, needed: int) -> None:
    """See that `needed` bytes fit on the disk of `output`, and that something can be made there. Raises OSError too."""
    disk_room.refuse_kernel_folder(output)
    folder = output.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file, not a folder.", "Choose another place for the output.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EnvironmentNotFitError(f"{folder} cannot be written by you.", "Choose another folder, or get the rights.")
    disk_room.check_room(folder, needed, output.name)


class OutputFile(PartialFile):
    """A big file on its way, written by several threads. All methods raise EnvironmentNotFitError."""

    def __init__(self, target: Path) -> None:
        with naming(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(target, locked=True)
        self._sync = _BackgroundSync(self.handle)
        self._end = self._unsynced = 0

    def write(self, data: bytes) -> None:
        """Append all of the data."""
        self.write_at(self._end, memoryview(data))
        self._end += len(data)

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the data, in bytes, at that place; several threads may."""
        with naming(self.target):
            while data:
                written = os.pwrite(self.handle, data[: WRITE_BYTES - offset % WRITE_BYTES], offset)
                offset += written
                data = data[written:]
                self._unsynced += written  # torn between threads now and then; it only says about when to sync
            if self._unsynced >= SYNC_BYTES:
                self._unsynced = 0
                self._sync.ask()

    def sync(self) -> None:
        """Bring everything to the disk. It stays open, and so locked, until it is published."""
        with naming(self.target):
            self._sync.close()
            super().sync()

    def publish(self) -> None:
        """Take the target's place; for good once the folder is synced."""
        with naming(self.target):
            super().publish()

    def discard(self) -> None:
        """Remove what was not published."""
        with suppress(OSError):
            self._sync.close()
        super().discard()


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
