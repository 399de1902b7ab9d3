"""Plans the way back to Hugging Face: which saved parameters make which tensor, and what is left out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from sft_tui.checkpoint.copy.copy_tensors import Cast, compare_values
from sft_tui.checkpoint.copy.low_rank import Addition
from sft_tui.checkpoint.copy.precision import HF_TYPES, ITEM_BYTES, target_type
from sft_tui.checkpoint.copy.tensor_values import TurnedMatrix, Values
from sft_tui.checkpoint.formats.ckpt_read import TEXT_TYPE
from sft_tui.checkpoint.mapping.fused_layout import find_contiguous, stored_values
from sft_tui.checkpoint.mapping.hf_model import COMPLAINTS_SHOWN, model_parameters
from sft_tui.checkpoint.mapping.lora import Adapter, build_addition, check_request, find_adapters
from sft_tui.checkpoint.mapping.saved_states import MERGE_HINT, SavedModel, load_saved_model
from sft_tui.checkpoint.mapping.stored_tensor import StoredTensor, load_ckpt
from sft_tui.checkpoint.mapping.tensor_map import Parameter
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Family
from sft_tui.families.table import KEY_MAPS, find_family

_COUNTER_BYTES = 8
_EMBEDDINGS = 2
CKPT_MERGE_HINT = (
    "Merge the parts of all ranks first: mindformers/tools/transform_ckpt.py --src_ckpt_strategy STRATEGY "
    "--src_ckpt_dir CHECKPOINTS --dst_ckpt_dir MERGED (in MindFormers), without a --dst_ckpt_strategy."
)
_CONFIG_HINT = "Name the folder of the model that was fine-tuned: --config_path HF_DIR."


@dataclass(frozen=True)
class HfTensor:
    """One Hugging Face tensor: its name, its shape in elements, its source and the cast of its values."""

    name: str
    shape: Tuple[int, ...]
    cast: Cast

    @property
    def dtype(self) -> str:
        """The dtype that is written, in safetensors' word: F32, F16, BF16 and so on."""
        return HF_TYPES[self.cast.target_type]


@dataclass(frozen=True)
class ReversedModel:
    """What a `.ckpt` gives. `left_out` are its entries that belong to training; `untied`: the output layer is its own.

    `untied` is only ever true for a config that ties them: training has moved them apart. `files` are those that the
    values come from, `notes` what is worth saying.
    """

    tensors: Tuple[HfTensor, ...]
    left_out: Tuple[str, ...]
    untied: bool
    files: Tuple[Path, ...]
    notes: Tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of weights, in elements."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def load_reversed_model(
    ckpt: Path, config: ModelConfig, dtype: str, config_dir: Path, lora_scaling: Optional[float] = None
) -> ReversedModel:
    """Match the parameters in `ckpt` with what `config`, which is from `config_dir`, calls for.

    `ckpt` is a `.ckpt`, or for families that MindFormers loads directly what `load_saved_model` takes. Adapters of LoRA
    are merged, `lora_scaling` (alpha / rank) times; without a number they are refused.
    Raises InvalidInputError naming file and parameters: missing, unknown, misshapen, or those of one rank alone.
    """
    family = find_family(config.family)
    if family.unmapped:
        known = ", ".join(sorted(name for name, other in KEY_MAPS.items() if not other.unmapped))
        raise InvalidInputError(
            f"Weights of {config.family} are not brought back: {family.unmapped}.", f"Known: {known}."
        )
    saved = load_saved_model(ckpt) if family.direct else SavedModel((ckpt,), {e.name: e for e in load_ckpt(ckpt)})
    entries, notes = saved.tensors, [saved.note]
    wanted = model_parameters(config)
    optional = {family.tied_target} if config.tied else set()
    merge = MERGE_HINT if family.direct else CKPT_MERGE_HINT
    _check_whole(ckpt, wanted, entries, optional, merge)
    if family.direct:
        contiguous, note = find_contiguous(config, config_dir, entries)
        wanted, notes = model_parameters(config, contiguous), [*notes, note]
    adapters = find_adapters(ckpt, entries)
    _check_merged(ckpt, family, adapters)
    used = {parameter.name for parameter in wanted}
    adapted = {name for adapter in adapters.values() for name in adapter.names}
    left_out = _sort_out(ckpt, used | adapted, family.counters, entries)
    check_request(ckpt, adapters, lora_scaling)
    head = family.tied_target
    untied = bool(optional) and (head in adapters or _differs(ckpt, entries, wanted, head))
    by_source: Dict[str, List[Parameter]] = {}
    for parameter in wanted:
        if parameter.name in optional and not untied:
            continue
        own = next((rule.source for rule in family.last if rule.target == parameter.name), "")
        by_source.setdefault(own if parameter.name in optional else parameter.source, []).append(parameter)
    tensors = [
        _merge(ckpt, _hf_tensor(ckpt, name, parts, entries, dtype), parts, adapters, lora_scaling or 0.0)
        for name, parts in by_source.items()
    ]
    return ReversedModel(tuple(tensors), tuple(left_out), untied, saved.files, tuple(filter(None, notes)))


def _check_merged(ckpt: Path, family: Family, adapters: Dict[str, Adapter]) -> None:
    """Raise InvalidInputError for adapters of a cell whose adapters are not brought back."""
    cells = family.lora.not_merged if family.lora else ()
    lost = next((name for name in adapters if name.split(".")[-2] in cells), "")
    if lost:
        raise InvalidInputError(f"{ckpt}: adapters of {lost} are not merged.", "Adapt query, key and value alone.")


def _check_whole(
    ckpt: Path, wanted: Sequence[Parameter], entries: Dict[str, StoredTensor], optional: set[str], merge_hint: str
) -> None:
    missing = [p.name for p in wanted if p.name not in entries and p.name not in optional]
    shapes = [(p, entries[p.name].dims) for p in wanted if p.name in entries and entries[p.name].dims != p.stored_shape]
    slices = [(p, dims) for p, dims in shapes if is_slice(dims, p.stored_shape)]
    whole = len(wanted) - len(missing) - len(shapes)
    # in a cut model at least the norms stay whole; embeddings alone differ with another vocabulary
    if len(slices) > _EMBEDDINGS and whole > 0:
        parameter, dims = slices[0]
        raise InvalidInputError(
            f"{ckpt} holds the part of one rank of a parallel training: {parameter.name} has the shape {list(dims)}, "
            f"the whole model {list(parameter.stored_shape)}.",
            merge_hint,
        )
    if shapes:
        told = [f"{p.name} has the shape {list(dims)} instead of {list(p.stored_shape)}" for p, dims in shapes]
        raise InvalidInputError(
            f"{ckpt} does not fit config.json: {cut_list(list(dict.fromkeys(told)))}.", _CONFIG_HINT
        )
    if missing:
        partly = len(missing) < len(wanted) - len(optional)
        what = "holds only a part of the model" if partly else "holds no parameter of this family"
        hint = f"{_CONFIG_HINT} If it is one stage of a pipeline: {merge_hint}" if partly else _CONFIG_HINT
        names = list(dict.fromkeys(missing))  # several tensors may lie in one parameter
        raise InvalidInputError(f"{ckpt} {what}: {cut_list([f'{name} is missing' for name in names])}.", hint)


def is_slice(dims: Tuple[int, ...], whole: Tuple[int, ...]) -> bool:
    """Whether a shape is the whole one with some dimension cut into equal parts."""
    return len(dims) == len(whole) and all(0 < part <= size and size % part == 0 for part, size in zip(dims, whole))


def _sort_out(ckpt: Path, names: set[str], counters: Sequence[str], entries: Dict[str, StoredTensor]) -> List[str]:
    """The entries that only training needs; raises InvalidInputError for those that nobody knows."""
    left_out: List[str] = []
    unknown: List[str] = []
    for name, entry in entries.items():
        if name not in names:
            counts = any(re.fullmatch(pattern, name) for pattern in counters)
            (left_out if counts or is_of_training(entry, names) else unknown).append(name)
    if unknown:
        told = [f"{name} is unknown to this model" for name in unknown]
        raise InvalidInputError(f"{ckpt} does not fit config.json: {cut_list(told)}.", _CONFIG_HINT)
    return left_out


def is_of_training(entry: StoredTensor, names: set[str]) -> bool:
    """Counters, texts, and the optimizer's copies of parameters: adam_m.NAME, adam_v.NAME and so on."""
    if entry.tensor_type == TEXT_TYPE or (entry.nbytes <= _COUNTER_BYTES and math.prod(entry.dims) <= 1):
        return True
    words = entry.name.split(".")
    return any(".".join(words[place:]) in names for place in range(1, len(words)))


def _differs(ckpt: Path, entries: Dict[str, StoredTensor], wanted: Sequence[Parameter], output_layer: str) -> bool:
    """Whether the output layer, which should be tied to the embeddings, has values of its own."""
    head = entries.get(output_layer)
    if head is None:
        return False
    source = next(p.source for p in wanted if p.name == output_layer)
    embedding = entries[next(p.name for p in wanted if p.source == source and p.name != output_layer)]
    if head.tensor_type != embedding.tensor_type:
        return True
    values = [_plain_values(ckpt, entry) for entry in (embedding, head)]
    ((wrong, _first),) = compare_values([Cast(values[0], head.tensor_type, head.tensor_type)], values[1:])
    return wrong > 0


def _plain_values(ckpt: Path, entry: StoredTensor) -> Values:
    if entry.tensor_type not in ITEM_BYTES:
        raise InvalidInputError(
            f"{ckpt}: {entry.name} is {entry.tensor_type}; only {', '.join(ITEM_BYTES)} can be converted.",
            "Take the model that is not quantized.",
        )
    return Values(ITEM_BYTES[entry.tensor_type], entry.nbytes, (entry.run,))


def _hf_tensor(
    ckpt: Path, name: str, parts: Sequence[Parameter], entries: Dict[str, StoredTensor], dtype: str
) -> HfTensor:
    parts = sorted(parts, key=lambda parameter: parameter.part[0])
    found = [entries[parameter.name] for parameter in parts]
    plain = [_plain_values(ckpt, entry) for entry in found]
    if len({entry.tensor_type for entry in found}) > 1:
        types = ", ".join(f"{entry.name} is {entry.tensor_type}" for entry in found)
        raise InvalidInputError(f"{ckpt}: {types}; they make one tensor.", "Save them with one type.")
    source_type = found[0].tensor_type
    target = target_type(dtype, HF_TYPES[found[0].tensor_type], name)
    if parts[0].rows is not None or parts[0].block is not None:
        return HfTensor(name, parts[0].shape, Cast(stored_values(parts[0], found[0]), found[0].tensor_type, target))
    width, nbytes = plain[0].width, sum(values.nbytes for values in plain)
    runs = tuple(run for values in plain for run in values.runs)
    if parts[0].transposed:
        matrices = tuple(
            TurnedMatrix(run, rows=part.shape[0], columns=part.shape[1], first_column=0, pitch=part.shape[1])
            for run, part in zip(runs, parts)
        )
        values = Values(width, nbytes, matrices=matrices)
    else:
        values = Values(width, nbytes, runs)
    return HfTensor(name, parts[0].source_shape, Cast(values, source_type, target))


def _merge(
    ckpt: Path, tensor: HfTensor, parts: Sequence[Parameter], adapters: Dict[str, Adapter], scaling: float
) -> HfTensor:
    """The tensor with the adapters of its parameter in it, if there are any."""
    adapted = [part for part in parts if part.name in adapters]
    if not adapted:
        return tensor
    if adapted[0].transposed and adapted[0].block is None:
        additions = _turned_additions(parts, adapters, scaling)
    elif len(parts) > 1 or adapted[0].transposed or adapted[0].block is not None:
        raise InvalidInputError(
            f"{ckpt}: adapters of {adapted[0].name} are not merged: {tensor.name} is put together otherwise.", ""
        )
    else:
        additions = [build_addition(adapted[0], adapters[adapted[0].name], scaling)]
    values = replace(tensor.cast.values, row_bytes=additions[0].columns * tensor.cast.values.width)
    return replace(tensor, cast=replace(tensor.cast, values=values, additions=tuple(additions)))


def _turned_additions(parts: Sequence[Parameter], adapters: Dict[str, Adapter], scaling: float) -> List[Addition]:
    """Of matrices that the tensor has turned around, side by side."""
    beside = sorted(parts, key=lambda parameter: parameter.part[0])
    columns, first, additions = sum(part.shape[0] for part in beside), 0, []
    for part in beside:
        if part.name in adapters:
            plain = build_addition(part, adapters[part.name], scaling)
            additions.append(replace(plain, columns=columns, turned=True, first_column=first, width=part.shape[0]))
        first += part.shape[0]
    return additions


def cut_list(told: List[str]) -> str:
    """The first few of what is to be told, and how many more there are."""
    shown = told[:COMPLAINTS_SHOWN]
    if len(told) > COMPLAINTS_SHOWN:
        shown.append(f"{len(told) - COMPLAINTS_SHOWN} more")
    return "; ".join(shown)


def main_dtype(tensors: Sequence[HfTensor]) -> Optional[str]:
    """The dtype that most bytes of the tensors have, in torch's word (float32, bfloat16); None without tensors."""
    sizes: Dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.cast.target_type] = sizes.get(tensor.cast.target_type, 0) + tensor.cast.nbytes
    most = max(sizes, key=lambda kind: sizes[kind], default=None)
    return most.lower() if most else None
