"""Packs several whole samples into one row, so that little of it is padding: best fit, in one pass.

The network's plain causal mask lets a sample see those before it in its row. Labels stay apart: they are shifted within
each sample, so that the first token of one is never learned from the end of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, List, Tuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

MASK_NOTE = (
    "MindFormers' plain causal mask lets a record see those before it in its row, and positions go on counting; none "
    "is learned from another's end"
)
# Rows that wait for a record that fits: more of them fill better, and each costs a look at every record.
OPEN_ROWS = 64


@dataclass
class PackedRow:
    """Samples that share one row. `left`: free tokens. `records`: int32 ids and shifted labels, both (tokens,)."""

    left: int
    records: List[Tuple[Ints, Ints]] = field(default_factory=list)


class Packer:
    """Distributes samples over rows of `length` tokens; at most OPEN_ROWS wait at a time."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._open: List[PackedRow] = []

    def add(self, ids: Ints, labels: Ints) -> List[PackedRow]:
        """Take one sample: int32 ids and shifted labels, both (tokens,), tokens <= length. The rows that are full."""
        size = len(ids)
        fitting = [row for row in self._open if row.left >= size]
        row = min(fitting, key=lambda row: row.left, default=None)
        if row is None:
            row = PackedRow(self._length)
            self._open.append(row)
        row.records.append((ids, labels))
        row.left -= size
        if row.left and len(self._open) <= OPEN_ROWS:
            return []
        done = min(self._open, key=lambda row: row.left)
        self._open.remove(done)
        return [done]

    def finish(self) -> List[PackedRow]:
        """The rows that are left, in the order in which they were begun."""
        rows, self._open = self._open, []
        return rows
