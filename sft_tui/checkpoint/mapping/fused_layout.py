"""Finds out how fused parameters (qkv, gate and up) of a trained model are laid out: its checkpoint does not say.

Fine-tuning moves weights by little. So the rows of the first layer are compared with those of the model that training
started from, once for each way in which they may lie: the right one is far closer.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from sft_tui.checkpoint.copy.precision import ITEM_BYTES, SOURCE_TYPES, cast_values
from sft_tui.checkpoint.copy.tensor_values import OpenFiles, RowsOfRun, TurnedMatrix, Values, files_of, whole_values
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS, find_weight_files, load_tensor_entries
from sft_tui.checkpoint.mapping.hf_model import model_parameters
from sft_tui.checkpoint.mapping.stored_tensor import StoredTensor
from sft_tui.checkpoint.mapping.tensor_map import Block, Parameter
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FIRST_LAYER = "decoder.layers.0"
SAMPLE_BYTES = 256 * 1024
ASSUMED = (
    "fused weights are taken apart as MindFormers keeps them by default: no weights beside config.json tell better"
)


def stored_values(parameter: Parameter, stored: StoredTensor) -> Values:
    """Where the values of one Hugging Face tensor are in the parameter that MindFormers saved; dtype as saved."""
    width = ITEM_BYTES[stored.tensor_type]
    if parameter.block is not None:
        return Values(
            width, math.prod(parameter.shape) * width, matrices=(_turned(parameter, parameter.block, stored),)
        )
    if parameter.rows is None:
        return Values(width, stored.nbytes, (stored.run,))
    rows = parameter.rows
    row_bytes = stored.nbytes // stored.dims[0]
    part = RowsOfRun(stored.run, rows.first * row_bytes, rows.count * row_bytes, rows.period * row_bytes)
    return Values(width, parameter.shape[0] * row_bytes, rows=part)


def _turned(parameter: Parameter, block: Block, stored: StoredTensor) -> TurnedMatrix:
    columns, rows = parameter.shape
    pitch = block.whole[1]
    return TurnedMatrix(stored.run, rows, columns, block.first_row * pitch + block.first_column, pitch)


def base_entries(config_dir: Path) -> List[TensorEntry]:
    """The tensors of the model that training started from; none where only its config and tokenizer are.

    Raises InvalidInputError for files that cannot be read.
    """
    try:
        if find_weight_files(config_dir).format is not SAFETENSORS:
            return []
    except InvalidInputError:
        return []
    return load_tensor_entries(config_dir)


def find_contiguous(
    config: ModelConfig, config_dir: Path, stored: Dict[str, StoredTensor]
) -> Tuple[Tuple[str, ...], str]:
    """The names of fused parameters of the first layer, without its number, that keep each tensor's rows together.

    And a note when nothing tells. `stored` has to be whole. Raises InvalidInputError for files that cannot be read.
    """
    entries = {entry.name: entry for entry in base_entries(config_dir)}
    found: List[str] = []
    compared = False
    grouped = {p.source: p for p in model_parameters(config) if p.rows and p.name.startswith(_FIRST_LAYER)}
    for name in dict.fromkeys(parameter.name for parameter in grouped.values()):
        kind = name[len(_FIRST_LAYER) :]
        gain = 0.0
        for other in model_parameters(config, (kind,)):
            one = grouped.get(other.source)
            if one is None or other.name != name or one.rows == other.rows:
                continue
            apart = _distances(one, other, entries.get(other.source), stored[name])
            compared |= apart is not None
            gain += apart[0] - apart[1] if apart else 0.0
        if gain > 0:
            found.append(kind)
    return tuple(found), "" if compared or not grouped else ASSUMED


def _distances(
    grouped: Parameter, together: Parameter, entry: Optional[TensorEntry], stored: StoredTensor
) -> Optional[Tuple[float, float]]:
    """How far the rows are from those of the model before, if they lie in groups, and if they lie together."""
    import numpy as np

    plain = stored.tensor_type in ITEM_BYTES
    if entry is None or entry.shape != grouped.shape or entry.dtype not in SOURCE_TYPES or not plain:
        return None
    before = _read(whole_values(entry), SOURCE_TYPES[entry.dtype])
    apart = []
    for parameter in (grouped, together):
        now = _read(stored_values(parameter, stored), stored.tensor_type)
        size = min(len(now), len(before))
        apart.append(float(np.abs(now[:size] - before[:size]).mean(dtype=np.float64)))
    return apart[0], apart[1]


def _read(values: Values, tensor_type: str) -> npt.NDArray[np.float32]:
    import numpy as np

    nbytes = min(values.nbytes, SAMPLE_BYTES // values.width * values.width)
    with OpenFiles(files_of([values])) as files:
        read = files.read(values, (0, nbytes), memoryview(bytearray(nbytes)))
    return np.frombuffer(cast_values(read, tensor_type, "Float32"), "<f4")
