"""MindRecord through MindSpore: writes rows, reads them back. The only module of this room that imports MindSpore."""

from __future__ import annotations

import importlib
import math
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Sequence

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, StoppedError
from sft_tui.files.whole_file import not_written

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Row = Dict[str, npt.NDArray[np.int32]]

# Rows handed over in one write: one by one costs three times as much, more than 64 gains nothing.
_BATCH = 128
_LEAST_PAGE, _LARGEST_PAGE, _MOST_PAGES, _ROWS_OF_A_PAGE = 2**18, 2**27, 60_000, 4
_COLUMN: Dict[str, object] = {"type": "int32", "shape": [-1]}


def import_mindrecord() -> Any:  # noqa: ANN401 - MindSpore has no types
    """MindSpore's mindrecord module; raises EnvironmentNotFitError naming the interpreter."""
    try:
        return importlib.import_module("mindspore.mindrecord")
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error.__cause__ or error.__context__, (KeyboardInterrupt, StoppedError)):
            raise StoppedError("Stopped.") from error  # numpy turns an interrupt in its import into an ImportError
        raise EnvironmentNotFitError(
            f"MindSpore could not be imported by {sys.executable}: {error}.",
            "Run this with the interpreter of the training environment, or install MindSpore there: "
            "pip install 'sft-tui[train]'.",
        ) from error


def choose_page_size(rows: float, row_bytes: int) -> int:
    """Bytes of a page for so many rows, a power of two, with room for some rows in each.

    When MindSpore 2.7 builds the index it needs 1.3 KB for each row of a page (13 bytes each, beside the page that has
    its numbers) and 5 KB for each page: least of all with pages of the square root of 50 times all bytes. The header,
    16 MB, has 200 bytes for each page.
    """
    total = rows * row_bytes
    wanted = max(_LEAST_PAGE, _ROWS_OF_A_PAGE * row_bytes, math.sqrt(50 * total), total / _MOST_PAGES)
    return min(_LARGEST_PAGE, 1 << math.ceil(math.log2(wanted)))


class RowWriter:
    """Writes rows of the columns given, int32 [-1] each, to the file (or the partitions) `target`.

    `page_size` is in bytes (`choose_page_size`). Raises EnvironmentNotFitError when MindSpore cannot write.
    """

    def __init__(
        self, target: Path, file_partition: int, columns: Sequence[str], description: str, page_size: int
    ) -> None:
        self._target = target
        self._mindrecord = import_mindrecord()
        with self._errors_named():
            self._writer = self._mindrecord.FileWriter(file_name=str(target), shard_num=file_partition)
            self._writer.set_page_size(page_size)
            self._writer.add_schema({column: dict(_COLUMN) for column in columns}, description)

    def write(self, rows: List[Row]) -> None:
        """Append rows."""
        with self._errors_named():
            for begin in range(0, len(rows), _BATCH):
                self._writer.write_raw_data(rows[begin : begin + _BATCH])

    def commit(self) -> None:
        """Write the index and what is still in memory."""
        with self._errors_named():
            self._writer.commit()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self._target, error) from error
        except (RuntimeError, self._mindrecord.common.exceptions.MindRecordException) as error:
            raise EnvironmentNotFitError(
                f"MindSpore could not write {self._target.name}: {_first_cause(error)}",
                "Check the free space and your rights on that folder.",
            ) from error


def _first_cause(error: Exception) -> str:
    """The one line that matters of MindSpore's message, which frames it with many others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if line.startswith("[ERROR]")), lines[0])


def find_mindrecord(path: Path) -> Path:
    """The first file of a MindRecord, by the name it was written under (with partitions: name0) or by a file of it.

    Raises InvalidInputError when it, or its index, is not there.
    """
    shards = (item for item in path.parent.glob("*") if item.name.startswith(path.name))
    numbered = sorted(item for item in shards if item.name[len(path.name) :].isdigit())
    first = path if path.is_file() else next(iter(numbered), path)
    if not first.is_file():
        raise InvalidInputError(f"{path} does not exist.", "Give the name that preprocess wrote.")
    index = first.with_name(first.name + ".db")
    if not index.is_file():
        raise InvalidInputError(f"{first} has no index {index.name} beside it.", "Copy the .db file along with it.")
    return first


def read_rows(path: Path) -> Iterator[Dict[str, npt.NDArray[np.int32]]]:
    """Yield the rows of a MindRecord with all its partitions, column name -> int32 array; order is not promised.

    Raises InvalidInputError for a file that MindSpore cannot read, EnvironmentNotFitError without MindSpore.
    """
    first = find_mindrecord(path)
    mindrecord = import_mindrecord()
    try:
        # One file is enough: its index names the others.
        reader = mindrecord.FileReader(str(first))
        yield from reader.get_next()
        reader.close()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{first} could not be read as MindRecord.",
            "A MindRecord cannot be read after its file was renamed, nor without all its partitions.",
        ) from error
