"""Lists the parameters that training saved in a `.ckpt` or safetensors file: dtype, shape, place of the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

from sft_tui.checkpoint.copy.precision import SOURCE_TYPES
from sft_tui.checkpoint.formats.ckpt_read import entry_run, load_ckpt_entries
from sft_tui.checkpoint.formats.run import Run
from sft_tui.checkpoint.formats.safetensors_header import load_header


@dataclass(frozen=True)
class StoredTensor:
    """A parameter by MindFormers' name. `dims`: its shape, in elements; `nbytes`: bytes of its values.

    `tensor_type`: the dtype in the words of `.ckpt` files, or safetensors' where it has no such word: no weights then.
    """

    name: str
    dims: Tuple[int, ...]
    tensor_type: str
    nbytes: int
    run: Run


def load_ckpt(path: Path) -> List[StoredTensor]:
    """The parameters of a `.ckpt`, from its headers alone. Raises InvalidInputError."""
    return [
        StoredTensor(entry.name, entry.dims, entry.tensor_type, entry.nbytes, entry_run(path, entry))
        for entry in load_ckpt_entries(path)
    ]


def load_safetensors(path: Path) -> List[StoredTensor]:
    """The parameters of one safetensors file, from its header alone. Raises InvalidInputError."""
    return [
        StoredTensor(
            entry.name,
            entry.shape,
            SOURCE_TYPES.get(entry.dtype, entry.dtype),
            entry.nbytes,
            Run(path, entry.name, ((entry.offset, entry.nbytes),)),
        )
        for entry in load_header(path)
    ]
