"""How a parameter of MindFormers is read from the tensor of a Hugging Face checkpoint that holds it."""

from __future__ import annotations

from sft_tui.checkpoint.copy.tensor_values import TurnedMatrix, Values
from sft_tui.checkpoint.formats.run import Run
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.mapping.tensor_map import Parameter


def entry_values(entry: TensorEntry, parameter: Parameter, width: int) -> Values:
    """How a parameter is read from the tensor that holds it: whole, one of several parts, or transposed.

    `width`: bytes of one element. Values keep the dtype of the source.
    """
    run = Run(entry.file, entry.name, ((entry.offset, entry.nbytes),))
    which, parts = parameter.part
    if not parameter.transposed:
        share = entry.nbytes // parts
        return Values(width, share, (Run(entry.file, entry.name, ((entry.offset + which * share, share),)),))
    rows, pitch = entry.shape
    columns = pitch // parts
    matrix = TurnedMatrix(run, rows, columns, which * columns, pitch)
    return Values(width, entry.nbytes // parts, matrices=(matrix,))
