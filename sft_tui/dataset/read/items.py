"""Yields the records of a file, whatever kind of file it is."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.dataset.read.data_file import DataFile, find_data_file
from sft_tui.dataset.read.json_stream import stream_items, stream_lines
from sft_tui.dataset.read.tables import csv_columns, parquet_columns, read_csv, read_parquet
from sft_tui.errors import InvalidInputError

# In JSON every record has names of its own: those of the first ones stand for the file.
_LOOKED_AT = 100


def read_items(
    path: Path, columns: Optional[Sequence[str]] = None, progress: ProgressCallback = no_progress
) -> Iterator[Tuple[int, object]]:
    """Yield (number, item) of every record of a file, numbers from 1, in constant memory.

    An item is what JSON has there, a dict for a row of a table, or a BadRecord. `columns` are those to read of a
    Parquet file (None: all). Raises InvalidInputError for what is wrong with the file, EnvironmentNotFitError when
    it is Parquet and pyarrow is missing.
    """
    container = find_data_file(path).container
    if container == "parquet":
        return read_parquet(path, columns, progress)
    if container == "csv":
        return read_csv(path, progress)
    return stream_lines(path, progress) if container == "jsonl" else stream_items(path, progress)


def field_names(file: DataFile) -> List[str]:
    """The names that the records have: a table's columns, else what is in the first hundred JSON objects, in order.

    Raises InvalidInputError when not even the first record can be read, EnvironmentNotFitError as `read_items`.
    """
    if file.is_table:
        return csv_columns(file.path) if file.container == "csv" else parquet_columns(file.path)
    names: Dict[str, None] = {}
    seen = 0
    try:
        for _, item in islice(read_items(file.path), _LOOKED_AT):
            seen += 1
            if isinstance(item, dict):
                names.update(dict.fromkeys(item))
    except InvalidInputError:
        # What is wrong further on is told when the reading comes there, with all before it counted.
        if not seen:
            raise
    return list(names)
