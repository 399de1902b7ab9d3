"""Checks what `preprocess` is asked to do, before any long work begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from sft_tui.dataset.conversation import read_conversations
from sft_tui.dataset.encode import check_seq_length
from sft_tui.dataset.manifest import Work
from sft_tui.dataset.prompt import build_prompt, load_template
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

DATASET_TYPES = ("qa", "wiki")
# mindspore.mindrecord.FileWriter refuses these in a file name, and more than 1000 shards.
_FORBIDDEN = "\\:*?\"<>|`&';"
_MAX_PARTITIONS = 1000
# A MindRecord file begins with its header and two pages, however few rows it has (measured: 50.3 MB).
_FILE_BYTES = 51 * 1024 * 1024
_BYTES_OF_TEXT_PER_TOKEN = 3


def check_request(dataset_type: str, seq_length: int, output_file: Path, template: str, file_partition: int) -> None:
    """Raise InvalidInputError for parameters that cannot be served."""
    if dataset_type not in DATASET_TYPES:
        raise InvalidInputError(f"Dataset type `{dataset_type}` is unknown.", f"Known: {', '.join(DATASET_TYPES)}.")
    check_seq_length(seq_length)
    if not 1 <= file_partition <= _MAX_PARTITIONS:
        raise InvalidInputError(
            f"file_partition is {file_partition}; it must lie between 1 and {_MAX_PARTITIONS}.", "Mostly 1 is right."
        )
    bad = sorted(set(output_file.name) & set(_FORBIDDEN))
    if bad or output_file.name != output_file.name.strip():
        raise InvalidInputError(
            f"MindRecord does not accept the file name {output_file.name!r}.", "Use letters, digits, `_`, `-` and `.`."
        )
    if dataset_type == "qa":
        load_template(template)


def count_conversations(work: Work) -> int:
    """Read all the inputs once and count: what is wrong with a record is told before the long work begins.

    Raises InvalidInputError that names the file and the record, and when there is no record at all.
    """
    count = 0
    for stamp in work.inputs:
        path = Path(stamp.path)
        for conversation in read_conversations(path):
            build_prompt(conversation, work.template, source=path)
            count += 1
    if not count:
        raise InvalidInputError(f"{work.inputs[0].path} holds no conversation.", "Give a file with at least one.")
    return count


def check_space(work: Work, output_file: Path, rows: int, vocab_size: int) -> None:
    """Raise EnvironmentNotFitError when the new MindRecord will not fit on the disk beside the old one."""
    # MindRecord stores a row's integers in the smallest width that holds them all.
    width = 2 if vocab_size <= 2**15 else 4
    if work.dataset_type == "qa":
        numbers = rows * (work.seq_length + 1) * 2
    else:
        numbers = sum(stamp.size for stamp in work.inputs) // _BYTES_OF_TEXT_PER_TOKEN
    needed = int(numbers * width * 1.1) + _FILE_BYTES * work.file_partition
    free = shutil.disk_usage(output_file.parent).free
    if free < needed:
        raise EnvironmentNotFitError(
            f"{output_file.parent} has {free / 1e6:,.0f} MB free; about {needed / 1e6:,.0f} MB are needed.",
            "Free some space or write to another disk.",
        )
