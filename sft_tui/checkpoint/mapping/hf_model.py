"""Plans the conversion of a Hugging Face folder: checks it against its config, and what each tensor becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Sequence, Tuple

from sft_tui.checkpoint.copy.copy_tensors import Cast
from sft_tui.checkpoint.copy.precision import ITEM_BYTES, SOURCE_TYPES, target_type
from sft_tui.checkpoint.formats.ckpt_write import encoded_size
from sft_tui.checkpoint.formats.source_file import check_folder
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.weight_files import find_weight_files, load_tensor_entries
from sft_tui.checkpoint.mapping.entry_values import entry_values
from sft_tui.checkpoint.mapping.folder_kind import look_at_folder, require_model
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME, dimensions_of, load_config_of_family
from sft_tui.checkpoint.mapping.tensor_map import Parameter, TensorMap, bare_name, expected_parameters, map_tensors
from sft_tui.checkpoint.mapping.tied_head import head_source, require_tied_head
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Family
from sft_tui.families.table import find_family, find_family_name

COMPLAINTS_SHOWN = 5
MAX_BLOCKS = 1_000_000  # layers times experts; the largest models have some 20,000


@dataclass(frozen=True)
class OutputTensor:
    """One parameter of the `.ckpt`: name, `dims` (its shape, in elements), source and cast of its values."""

    name: str
    dims: Tuple[int, ...]
    cast: Cast

    @property
    def tensor_type(self) -> str:
        """The dtype in the `.ckpt`, as MindSpore writes it: Float32, Float16, BFloat16 and so on."""
        return self.cast.target_type

    @property
    def nbytes(self) -> int:
        """Bytes of its values in the `.ckpt`."""
        return self.cast.nbytes

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
    """Read config and headers and check them against the family (a name or an alias).

    Raises InvalidInputError naming file and tensor, also for a config of another family.
    """
    # a word that nobody knows, and a family without a .ckpt, are told before any file is looked at
    if find_family(family).direct:
        raise InvalidInputError(
            f"There is no .ckpt of {find_family_name(family)}: MindFormers loads the Hugging Face folder as it is.",
            "Name the folder in the training configuration. --reversed makes such a folder of what training saved.",
        )
    check_folder(hf_dir)
    look = look_at_folder(hf_dir)
    require_model(look)
    config = load_config_of_family(hf_dir, family)
    entries = load_tensor_entries(hf_dir)
    require_model(look, entries)
    tensors = map_model(config, entries)
    if tensors.complaints:
        raise InvalidInputError(*describe_complaints(hf_dir, tensors))
    require_tied_head(hf_dir, config, entries)
    found = find_weight_files(hf_dir)
    index = () if found.weight_map is None else (hf_dir / found.format.index,)
    return SourceModel(config, tensors, (hf_dir / CONFIG_NAME, *index, *found.shards))


def model_parameters(config: ModelConfig, contiguous: Tuple[str, ...] = ()) -> List[Parameter]:
    """Every parameter that the config calls for, in the order of the `.ckpt`; `contiguous`: see `Fused`.

    Raises InvalidInputError for more layers or experts than any model has.
    """
    if config.num_layers * max(1, config.num_experts) > MAX_BLOCKS:
        counts = f"{config.num_layers:,} layers" + f" of {config.num_experts:,} experts" * bool(config.num_experts)
        raise InvalidInputError(f"config.json calls for {counts}.", "Take the config.json of the model.")
    return expected_parameters(
        find_family(config.family),
        num_layers=config.num_layers,
        tied=config.tied,
        dimensions=dimensions_of(config),
        contiguous=contiguous,
        dense_layers=config.dense_layers,
        layers_ahead=config.layers_ahead,
    )


def map_model(config: ModelConfig, entries: Sequence[TensorEntry]) -> TensorMap:
    """Match what the config calls for with the tensors that are there: shapes and names, no values."""
    family = find_family(config.family)
    impossible = _check_counts(config, family, entries)
    if impossible:
        return TensorMap((), impossible)
    parameters = model_parameters(config)
    names = {bare_name(family, entry.name) for entry in entries}
    if config.tied and not family.direct and family.tied_source not in names and head_source(family) in names:
        # saved by those who keep the output layer of a tied pair
        head = head_source(family)
        parameters = [replace(p, source=head) if p.source == family.tied_source else p for p in parameters]
    return map_tensors(family, parameters, entries)


def _check_counts(config: ModelConfig, family: Family, entries: Sequence[TensorEntry]) -> Tuple[str, ...]:
    """Layers and experts that config.json counts beyond what the weights hold: no list is made of those."""
    held = len(entries)
    wrong = []
    for field, count in (("num_hidden_layers", config.num_layers), ("num_experts", config.num_experts)):
        if count > held:
            name = family.config_names.get(field, field)
            wrong.append(f"{name} is {count:,}, and there are {held:,} tensors in all")
    if not wrong and config.num_layers * config.num_experts > held:
        wrong.append(f"{config.num_layers:,} layers of {config.num_experts:,} experts are more than {held:,} tensors")
    return tuple(wrong)


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
    """The parameters in the order of the `.ckpt`, cast as `dtype` says: fp32, fp16, bf16 or keep.

    Raises InvalidInputError naming the tensor.
    """
    planned = []
    for item in tensors.tensors:
        target = target_type(dtype, item.entry.dtype, item.entry.name)
        source = SOURCE_TYPES[item.entry.dtype]
        values = entry_values(item.entry, item.parameter, ITEM_BYTES[source])
        planned.append(OutputTensor(item.name, item.parameter.shape, Cast(values, source, target)))
    return tuple(planned)
