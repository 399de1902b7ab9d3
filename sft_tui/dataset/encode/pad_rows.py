"""Makes MindRecord rows, all of one length, from encoded samples: padded, shifted or packed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence, Tuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sft_tui.dataset.encode.packing import PackedRow
    from sft_tui.dataset.encode.pipeline import EncodedBatch

    Ints = npt.NDArray[np.int32]
    Row = Dict[str, Ints]


def padded_rows(batch: EncodedBatch, length: int, pad_id: int) -> List[Row]:
    """The rows of a batch, padded: `input_ids` with `pad_id`, `labels` with IGNORE_TOKEN_ID (-100).

    Both int32, (length,); labels are not shifted. `length`: at least that of the longest row, in tokens.
    """
    import numpy as np

    from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID

    filled = np.arange(length) < batch.lengths[:, np.newaxis]
    columns = {}
    for name, values, empty in (
        ("input_ids", batch.input_ids, pad_id),
        ("labels", batch.labels, IGNORE_TOKEN_ID),
    ):
        column = np.full((len(batch), length), empty, dtype=np.int32)
        column[filled] = values
        columns[name] = column
    return [{"input_ids": ids, "labels": labels} for ids, labels in zip(columns["input_ids"], columns["labels"])]


def shifted_rows(rows: Sequence[Row]) -> List[Row]:
    """Rows for networks that take shifted labels: int32, (length - 1,), the label of a token is the next token."""
    return [{"input_ids": row["input_ids"][:-1], "labels": row["labels"][1:]} for row in rows]


def split_records(batch: EncodedBatch) -> Iterator[Tuple[Ints, Ints]]:
    """Yield int32 ids and shifted labels of each sample, both (tokens,); the last label is IGNORE_TOKEN_ID (-100)."""
    import numpy as np

    from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID

    end = 0
    for length in batch.lengths.tolist():
        begin, end = end, end + length
        labels = np.full(end - begin, IGNORE_TOKEN_ID, dtype=np.int32)
        labels[:-1] = batch.labels[begin + 1 : end]
        yield batch.input_ids[begin:end], labels


def packed_rows(packed: Sequence[PackedRow], length: int, pad_id: int) -> List[Row]:
    """Packed rows, padded: `input_ids` with `pad_id`, `labels` with IGNORE_TOKEN_ID (-100).

    Both int32, (length,); labels are shifted within each sample.
    """
    import numpy as np

    from sft_tui.dataset.encode.encoded_row import IGNORE_TOKEN_ID

    rows = []
    for row in packed:
        ids = np.full(length, pad_id, dtype=np.int32)
        labels = np.full(length, IGNORE_TOKEN_ID, dtype=np.int32)
        used = length - row.left
        ids[:used] = np.concatenate([part for part, _ in row.records])
        labels[:used] = np.concatenate([part for _, part in row.records])
        rows.append({"input_ids": ids, "labels": labels})
    return rows
