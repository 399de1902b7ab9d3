"""A checkpoint folder as a whole: its config, its tensors, and what each becomes in the `.ckpt`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence, Tuple

from sft_tui.checkpoint.ckpt_format import encoded_size
from sft_tui.checkpoint.key_map import TensorMap, expected_parameters, find_family, map_tensors
from sft_tui.checkpoint.model_config import CONFIG_NAME, dimensions_of, load_model_config
from sft_tui.checkpoint.precision import ITEM_BYTES, SOURCE_TYPES, target_type
from sft_tui.checkpoint.safetensors_header import TensorEntry
from sft_tui.checkpoint.safetensors_index import INDEX_NAME, SINGLE_NAME, load_tensor_entries
from sft_tui.checkpoint.source_file import check_folder
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError

COMPLAINTS_SHOWN = 5


@dataclass(frozen=True)
class OutputTensor:
    """One parameter as it is written: where its values come from, and how it looks in the `.ckpt`."""

    name: str
    entry: TensorEntry
    tensor_type: str

    @property
    def dims(self) -> Tuple[int, ...]:
        """Its shape, on both sides the same."""
        return self.entry.shape

    @property
    def source_type(self) -> str:
        """The `tensor_type` word for what the source holds."""
        return SOURCE_TYPES[self.entry.dtype]

    @property
    def nbytes(self) -> int:
        """Bytes of its values in the `.ckpt`."""
        return self.entry.nbytes // ITEM_BYTES[self.source_type] * ITEM_BYTES[self.tensor_type]

    @property
    def file_bytes(self) -> int:
        """Bytes that it takes in the `.ckpt`, headers included."""
        return encoded_size(self.name, self.dims, self.tensor_type, self.nbytes)


@dataclass(frozen=True)
class SourceModel:
    """A checkpoint that is complete and fits its config. `files` are all the files that the result depends on."""

    config: ModelConfig
    tensors: TensorMap
    files: Tuple[Path, ...]

    @property
    def parameters(self) -> int:
        """Number of weights; tied ones count once."""
        return count_parameters(self.tensors)


def load_source_model(hf_dir: Path, family: str) -> SourceModel:
    """Read config and headers and check them against the family.

    Raises InvalidInputError naming file and tensor, also for a config of another family.
    """
    find_family(family)
    check_folder(hf_dir)
    config = load_model_config(hf_dir)
    if config.family != family:
        raise InvalidInputError(
            f"{hf_dir / CONFIG_NAME} is of family {config.family}, not {family}.", "Choose that family."
        )
    entries = load_tensor_entries(hf_dir)
    tensors = map_model(config, entries)
    if tensors.complaints:
        raise InvalidInputError(*describe_complaints(hf_dir, tensors))
    shards = dict.fromkeys(entry.file for entry in entries)
    index = () if hf_dir / SINGLE_NAME in shards or not (hf_dir / INDEX_NAME).exists() else (hf_dir / INDEX_NAME,)
    return SourceModel(config, tensors, (hf_dir / CONFIG_NAME, *index, *shards))


def map_model(config: ModelConfig, entries: Sequence[TensorEntry]) -> TensorMap:
    """What the config calls for against what is there."""
    family = find_family(config.family)
    dimensions = dimensions_of(config)
    parameters = expected_parameters(family, num_layers=config.num_layers, tied=config.tied, dimensions=dimensions)
    return map_tensors(family, parameters, entries)


def describe_complaints(hf_dir: Path, tensors: TensorMap) -> Tuple[str, str]:
    """Message and hint for a checkpoint that does not fit its config."""
    shown = list(tensors.complaints[:COMPLAINTS_SHOWN])
    if len(tensors.complaints) > COMPLAINTS_SHOWN:
        shown.append(f"{len(tensors.complaints) - COMPLAINTS_SHOWN} more")
    hint = "Take config.json and all weights from the same model."
    return f"{hf_dir} does not hold what its config.json calls for: {'; '.join(shown)}.", hint


def count_parameters(tensors: TensorMap) -> int:
    """Number of weights; tied ones count once."""
    return sum(math.prod(shape) for shape in {item.entry.name: item.entry.shape for item in tensors.tensors}.values())


def plan_output(tensors: TensorMap, dtype: str) -> Tuple[OutputTensor, ...]:
    """The parameters as `--dtype` has them, in the order of the file; raises InvalidInputError naming the tensor."""
    return tuple(
        OutputTensor(item.name, item.entry, target_type(dtype, item.entry.dtype, item.entry.name))
        for item in tensors.tensors
    )
