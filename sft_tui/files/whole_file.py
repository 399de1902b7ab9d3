"""Writes a file whole: whoever looks finds the old one or the whole new one, never a half.

What is new is written under a hidden name beside its target, `.NAME.<12 digits>.partial`, brought to the disk, and
renamed. What takes long is locked meanwhile: what is not locked was left by a killed run, and may be removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Iterator, TextIO, TypeVar

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files.disk_room import refuse_kernel_folder
from sft_tui.files.regular_file import describe_kind

_DIGITS = 12
_RANDOM = "[0-9a-f]" * _DIGITS  # as a pattern
STALE_SECONDS = 60.0  # to write a small file takes less, on the slowest of disks
_Self = TypeVar("_Self", bound="PartialFile")


class PartialFile:
    """A file on its way to `target`: its path, and a descriptor, open (and locked) until it is published.

    As a context manager it is gone at the end of the block unless it was published. Raises OSError.
    """

    def __init__(self, target: Path, mode: int = 0o666, *, locked: bool = False) -> None:
        self.target, self.path = target, target.with_name(f".{target.name}.{os.urandom(_DIGITS // 2).hex()}.partial")
        self.handle = self._create(mode)
        if locked:
            with suppress(OSError):  # where a file system has no locks, nothing is removed as left over
                fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.discard()

    def _create(self, mode: int) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self.handle)

    def publish(self) -> None:
        """Take the target's place; for good once it was synced before and the folder is synced after.

        Raises InvalidInputError where something else than a file has taken it.
        """
        check_replaceable(self.target)
        self.path.replace(self.target)
        self._close()

    def discard(self) -> None:
        """Remove what was not published."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            _remove(self.path)

    def _close(self) -> None:
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)


def remove_leftovers(target: Path) -> None:
    """Remove what a killed run left of this very target: hidden, partial, and locked by nobody."""
    for left in target.parent.glob(f".{escape(target.name)}.{_RANDOM}.partial"):
        with suppress(OSError):
            mode = left.lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # we leave nothing else
                with _unlocked(left):
                    _remove(left)


@contextmanager
def _unlocked(path: Path) -> Iterator[None]:
    """Hold the lock of what stands there. Raises OSError where somebody has it, or a link took its place."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def remove_stale(folder: Path, seconds: float = STALE_SECONDS) -> None:
    """Remove small files on their way that a killed process left in a folder, whatever their targets.

    One that is locked, or younger than `seconds`, may still be written.
    """
    for left in folder.glob(f".*.{_RANDOM}.partial"):
        with suppress(OSError):
            status = left.lstat()
            if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < seconds:
                continue
            with _unlocked(left):
                left.unlink()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def check_replaceable(path: Path) -> None:
    """Raise InvalidInputError where a folder, a device, a FIFO or a socket stands, also behind a link."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # not there, or it will be told when it is written
    if not stat.S_ISREG(mode):
        raise InvalidInputError(
            f"{path} is {describe_kind(mode)}, not a file: it is not replaced.", "Give the name of the file to write."
        )


def check_output_path(path: Path) -> None:
    """Make the folder of `path` and see that a file can be written there.

    Raises InvalidInputError when `path` is no file, EnvironmentNotFitError when nothing can be written beside it.
    """
    check_replaceable(path)
    refuse_kernel_folder(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        PartialFile(path).discard()


@contextmanager
def open_whole_file(path: Path) -> Iterator[TextIO]:
    """Open a UTF-8 text file that takes the place of `path` when the block ends well; its folder is made.

    When the block fails, `path` is as before. Raises as `check_output_path`.
    """
    check_output_path(path)
    with naming(path), _open_text(path, 0o666) as stream:
        yield stream


def write_text(path: Path, text: str) -> None:
    """Replace the file's content with UTF-8 text, with the usual rights. Raises OSError."""
    with _open_text(path, 0o666) as stream:
        stream.write(text)


def write_private(path: Path, text: str, *, lasting: bool = True) -> None:
    """Replace the file's content with UTF-8 text, mode 0600. Raises OSError; the old content is then still there.

    Without `lasting` it is not brought to the disk: for what is worth nothing after a restart.
    """
    with _open_text(path, 0o600, lasting=lasting) as stream:
        stream.write(text)


@contextmanager
def _open_text(path: Path, mode: int, *, lasting: bool = True) -> Iterator[TextIO]:
    with PartialFile(path, mode) as partial:
        with os.fdopen(partial.handle, "w", encoding="utf-8", newline="\n", closefd=False) as stream:
            yield stream
        if lasting:
            partial.sync()
        partial.publish()
        if lasting:
            sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever the system refuses in the block is raised as `not_written` of `path`."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> EnvironmentNotFitError:
    """The error to raise when the system refused to write `path`."""
    reason = error.strerror or str(error)
    return EnvironmentNotFitError(
        f"{path} could not be written: {reason}.", "Check the free space and your rights on that folder."
    )
