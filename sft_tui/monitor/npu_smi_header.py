"""Reads values of a row of `npu-smi info` by its header words: the order of columns is the header's to tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Optional

_MISSING = {"", "-", "--", "NA", "N/A"}
_WHOLE = r"[0-9]{1,12}"
_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?"
_WORD = r"[A-Za-z]+"
_TEXT = r".*"
_BUS = r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]+"


class Column(NamedTuple):
    """A header's words, the fields that its value fills (two for `used / total`), and what a value looks like."""

    words: str
    fields: tuple[str, ...]
    pattern: str


# The unit is a part of the words: a column in another unit is another column.
_KNOWN = (
    Column("NPU", ("npu_id",), _WHOLE),
    Column("NPU ID", ("npu_id",), _WHOLE),
    Column("Chip", ("chip_id",), _WHOLE),
    Column("Phy-ID", ("index",), _WHOLE),
    Column("Device", ("index",), _WHOLE),
    Column("Name", ("name",), _TEXT),
    Column("Health", ("health",), _WORD),
    Column("Bus-Id", ("bus_id",), _BUS),
    Column("Power(W)", ("power_w",), _NUMBER),
    Column("Temp(C)", ("temperature_c",), _NUMBER),
    Column("AICore(%)", ("utilisation_percent",), _NUMBER),
    Column("NPU Util(%)", ("utilisation_percent",), _NUMBER),
    Column("Hugepages-Usage(page)", ("pages_used", "pages_total"), _WHOLE),
    Column("Memory-Usage(MB)", ("memory_used_mb", "memory_total_mb"), _WHOLE),
    Column("HBM-Usage(MB)", ("hbm_used_mb", "hbm_total_mb"), _WHOLE),
    Column("Process id", ("pid",), _WHOLE),
    Column("Process name", ("process_name",), _TEXT),
    Column("Process memory(MB)", ("process_memory_mb",), _WHOLE),
    Column("Process id in container", ("container_pid",), _WHOLE),
)
_BY_WORDS = {column.words: column for column in _KNOWN}
# longest first: "NPU Util(%)" holds "NPU"
_WORDS = re.compile("|".join(rf"(?<!\S){re.escape(words)}(?!\S)" for words in sorted(_BY_WORDS, key=len, reverse=True)))
# a number may touch the slash: "59718/ 65536"
_TOKEN = re.compile(r"N/A(?!\s*/|\S)|(N/A|\S+?)\s*/\s*(N/A|\S+)|\S+")

HeaderRow = tuple[tuple[Column, ...], ...]


def split_cells(line: str) -> Optional[list[str]]:
    """The cells of a `| a | b |` line; None if it is not one, or was cut."""
    line = line.strip()
    if len(line) < 2 or line[0] != "|" or line[-1] != "|":
        return None
    return [cell.strip() for cell in line[1:-1].split("|")]


def read_header_row(cells: list[str]) -> HeaderRow:
    """The columns of each cell, in order; words that are not known make a column without fields."""
    return tuple(_columns_of(cell) for cell in cells)


def _columns_of(cell: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    end = 0
    for match in _WORDS.finditer(cell):
        columns += _unknown_columns(cell[end : match.start()])
        columns.append(_BY_WORDS[match[0]])
        end = match.end()
    return (*columns, *_unknown_columns(cell[end:]))


def _unknown_columns(text: str) -> list[Column]:
    return [Column(words, (), _TEXT) for words in re.split(r"\s{2,}", text.strip()) if words]


def fields_of(header: Iterable[HeaderRow]) -> list[str]:
    """Every field that the header names, as often as it names it."""
    return [name for row in header for columns in row for column in columns for name in column.fields]


def unknown_words(header: Iterable[HeaderRow]) -> list[str]:
    """The header's words that no rule knows."""
    return [column.words for row in header for columns in row for column in columns if not column.fields]


def read_row(header: HeaderRow, cells: list[str]) -> Optional[dict[str, str]]:
    """Field to text, without the fields that are not available; None if the row is not one of this header.

    A row fits or it does not: values of a cell that has one too many cannot be told apart, and half a row would give
    numbers of another column.
    """
    if len(cells) != len(header):
        return None
    values: dict[str, str] = {}
    for columns, cell in zip(header, cells):
        found = _read_cell(columns, cell)
        if found is None:
            return None
        values.update(found)
    return values


def _read_cell(columns: tuple[Column, ...], cell: str) -> Optional[dict[str, str]]:
    if not cell:
        return {}
    values: dict[str, str] = {}
    tokens = _tokens_of(columns, cell)
    if len(tokens) != len(columns):
        return None
    for column, token in zip(columns, tokens):
        if not column.fields or (len(token) == 1 and token[0] in _MISSING):
            continue
        if len(token) != len(column.fields):
            return None
        for name, text in zip(column.fields, token):
            if text in _MISSING:
                continue
            if not re.fullmatch(column.pattern, text):
                return None
            values[name] = text
    return values


def _tokens_of(columns: tuple[Column, ...], cell: str) -> list[tuple[str, ...]]:
    """The values of a cell, `used / total` as a pair. A text at the end takes what is left, and may be blank."""
    if columns and columns[-1].fields and columns[-1].pattern == _TEXT:
        words = cell.split(None, len(columns) - 1)
        return [(word,) for word in words + [""] * (len(columns) - 1 == len(words))]
    return [(m[1], m[2]) if m[1] is not None else (m[0],) for m in _TOKEN.finditer(cell)]
