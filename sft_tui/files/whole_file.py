"""Writes a file so that whoever looks finds the old one or the whole new one, never a half."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, TextIO

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError


def check_output_path(path: Path) -> None:
    """Make the folder of `path` and see that a file can be written there.

    Raises InvalidInputError when `path` is a folder, EnvironmentNotFitError when nothing can be written beside it.
    """
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder, not a file.", "Give the name of the file to write.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = partial_name(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise not_written(path, error) from error


def partial_name(path: Path) -> Path:
    """A hidden name beside `path` that nothing else uses: a rename from it stays on one file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")


def not_written(path: Path, error: OSError) -> EnvironmentNotFitError:
    """The error to raise when the system refused to write `path`."""
    reason = error.strerror or str(error)
    return EnvironmentNotFitError(
        f"{path} could not be written: {reason}.", "Check the free space and your rights on that folder."
    )


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def open_whole_file(path: Path) -> Iterator[TextIO]:
    """Open a UTF-8 text file that takes the place of `path` when the block ends well.

    Lines end with `\\n` on every system. When the block fails, the new file is removed and `path` is as before.
    """
    check_output_path(path)
    partial = partial_name(path)
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
