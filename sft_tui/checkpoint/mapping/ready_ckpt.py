"""Reads family and sizes of a ready MindSpore `.ckpt` from the names and shapes in it; no value is read.

MindFormers loads such a file by name: what the network lacks is ignored, what the file lacks stays random. So all that
does not fit is told here.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from sft_tui.checkpoint.copy.precision import HF_TYPES
from sft_tui.checkpoint.formats.source_file import not_read
from sft_tui.checkpoint.mapping.hf_model import model_parameters
from sft_tui.checkpoint.mapping.lora import is_adapter
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME, load_model_config
from sft_tui.checkpoint.mapping.stored_tensor import StoredTensor, load_ckpt
from sft_tui.checkpoint.mapping.tensor_map import Parameter, expected_parameters
from sft_tui.checkpoint.mapping.trained_model import CKPT_MERGE_HINT, cut_list, is_of_training, is_slice
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Family, TensorRule
from sft_tui.families.table import KEY_MAPS
from sft_tui.files.regular_file import NotRegularError, open_regular
from sft_tui.files.stand_in import HEAD_BYTES, check_stand_in

SUFFIX = ".ckpt"
_FOLDER_HINT = "Give its folder as Model folder (model.hf_dir), and leave Ready checkpoint (model.ckpt) empty."
_CHOOSE_HINT = "Choose a whole .ckpt of MindFormers."
_WORDS = {"Float32": "fp32", "Float16": "fp16", "BFloat16": "bf16"}
# matrices that MindFormers puts together where model_config says qkv_concat
_CONCATENATED = re.compile(r".*\.(?:w_qkv|w_gate_hidden)\.\w+")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_FIRST_BYTE = b"\n"  # field 1 of the protobuf message, which has no other


@dataclass(frozen=True)
class ReadyCkpt:
    """What names and shapes of a `.ckpt` tell.

    `sizes` are the dimensions of the family's rules by name, in elements. `headless`: the family has an output layer of
    its own, the file has none. `left_out` are entries that only training needs; `shapes` those of the parameters.
    """

    path: Path
    family: Family
    num_layers: int
    sizes: Dict[str, int]
    headless: bool
    dtype: str
    shapes: Dict[str, Tuple[int, ...]]
    file_bytes: int
    left_out: Tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of weights, in elements."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def to_json(self) -> Dict[str, object]:
        """What was found as a JSON object."""
        return {
            "path": str(self.path),
            "family": self.family.name,
            "num_layers": self.num_layers,
            "sizes": {name: size for name, size in self.sizes.items() if size},
            "tensors": len(self.shapes),
            "output_layer": bool(self.family.tied_target) and not self.headless,
            "left_out": len(self.left_out),
        }


def load_ready_ckpt(path: Path) -> ReadyCkpt:
    """Family and sizes of a whole `.ckpt`. Reads headers alone, in constant memory but for the names.

    Raises InvalidInputError for what is no such file, and naming the parameter for what is no whole model: one rank of
    several, adapters, unknown or missing names, shapes that do not go together, numbers that are no floats.
    """
    size = _check_kind(path)
    entries = {entry.name: entry for entry in load_ckpt(path)}
    family = _find_family(path, entries)
    _check_adapters(path, entries)
    layers = _count_layers(path, family, entries)
    headless = bool(family.tied_target) and family.tied_target not in entries
    names = [name for name in _names(family, layers) if not (headless and name == family.tied_target)]
    _check_names(path, family, names, entries)
    sizes = _read_sizes(path, family, entries)
    wanted = [
        parameter
        for parameter in expected_parameters(family, num_layers=layers, tied=headless, dimensions=sizes)
        if not (headless and parameter.name == family.tied_target)
    ]
    _check_shapes(path, family, wanted, entries)
    _check_types(path, wanted, entries)
    shapes = {parameter.name: entries[parameter.name].dims for parameter in wanted}
    dtypes = sorted({_WORDS[entries[name].tensor_type] for name in shapes})
    left_out = tuple(name for name in entries if name not in shapes)
    return ReadyCkpt(path, family, layers, sizes, headless, "+".join(dtypes), shapes, size, left_out)


def load_fitting_config(ready: ReadyCkpt, folder: Path) -> ModelConfig:
    """The config of a folder that goes with the checkpoint.

    Raises InvalidInputError where it is of another family, or calls for another shape of a tensor.
    """
    config, file = load_model_config(folder), folder / CONFIG_NAME
    hint = f"Take the config.json of the model that is in {ready.path.name}."
    if config.family != ready.family.name:
        raise InvalidInputError(f"{file} is of family {config.family}, {ready.path} of {ready.family.name}.", hint)
    if config.num_layers != ready.num_layers:
        raise InvalidInputError(
            f"{file} has {config.num_layers} layers, {ready.path} has {ready.num_layers}: the last is "
            f"{_last_layer(ready)}.",
            hint,
        )
    for parameter in model_parameters(config):
        found = ready.shapes.get(parameter.name)
        if found is not None and found != parameter.stored_shape:
            raise InvalidInputError(
                f"{ready.path}: {parameter.name} has the shape {list(found)}, {file} calls for "
                f"{list(parameter.stored_shape)}.",
                hint,
            )
    return config


def _last_layer(ready: ReadyCkpt) -> str:
    return next(rule.target for rule in ready.family.layer).format(layer=ready.num_layers - 1, expert=0)


def _check_kind(path: Path) -> int:
    """The size of a file that may be a `.ckpt` of MindSpore; what else it is, is named. Nothing is unpickled."""
    try:
        handle = open_regular(path)
        with os.fdopen(handle, "rb") as stream:
            head, size = stream.read(HEAD_BYTES), os.fstat(handle).st_size
    except NotRegularError as error:
        hint = f"Name the {SUFFIX} file in it. A folder of Hugging Face goes into Model folder (model.hf_dir)."
        raise InvalidInputError(error.message, hint if path.is_dir() else _CHOOSE_HINT) from error
    except FileNotFoundError as error:
        what = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise InvalidInputError(f"{path} {what}.", _CHOOSE_HINT) from error
    except OSError as error:
        raise not_read(path, error) from error
    check_stand_in(path, head, "the file itself")
    if not size:
        raise InvalidInputError(f"{path} is empty.", _CHOOSE_HINT)
    kind, hint = _tell_kind(head, size)
    if kind:
        raise InvalidInputError(f"{path} is {kind}, no checkpoint of MindSpore.", hint)
    if path.suffix != SUFFIX:
        message = f"{path}: MindFormers loads files whose names end with {SUFFIX} alone."
        raise InvalidInputError(message, f"Rename it, if it is a checkpoint of MindSpore: {path.name}{SUFFIX}.")
    return size


def _tell_kind(head: bytes, size: int) -> Tuple[str, str]:
    """What a file is that is no `.ckpt` of MindSpore, by its first bytes, and what to do; empty where it may be one."""
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= header <= size - 8:
        return "a safetensors file", _FOLDER_HINT
    if head.startswith(b"PK\x03\x04"):
        kind = "a zip archive, as torch.save writes .bin files and PyTorch Lightning its .ckpt"
        return kind, f"{_FOLDER_HINT} Of Lightning, save the model by save_pretrained first."
    if _PICKLE.match(head):
        return "a pickle, as old versions of torch.save write .bin files", _FOLDER_HINT
    if head.startswith(b"GGUF"):
        return "a GGUF file of llama.cpp", "Download the model as safetensors, and give its folder as Model folder."
    if not head.startswith(_FIRST_BYTE):
        return "something else", _CHOOSE_HINT
    return "", ""


def _pattern(name: str) -> str:
    """The name as the rules have it: the number of the layer left open."""
    return re.sub(r"\.\d+\.", ".{layer}.", name, count=1)


def _rules(family: Family) -> Tuple[TensorRule, ...]:
    return (*family.first, *family.layer, *family.last)


def _names(family: Family, layers: int) -> List[str]:
    """Every parameter of the family with so many layers, in the order of the `.ckpt`."""
    inner = [rule.target.format(layer=layer) for layer in range(layers) for rule in family.layer]
    return [*(rule.target for rule in family.first), *inner, *(rule.target for rule in family.last)]


def _find_family(path: Path, entries: Dict[str, StoredTensor]) -> Family:
    """The family with the most of its names in the file, and of those the one that lacks the least."""
    there = {_pattern(name) for name in entries}
    counts: Dict[str, Tuple[int, int]] = {}
    for name, family in KEY_MAPS.items():
        targets = {rule.target for rule in _rules(family)}
        if not family.direct and targets & there:
            counts[name] = len(targets & there), -len(targets - there)
    if counts:
        return KEY_MAPS[max(counts, key=lambda name: counts[name])]
    if any(is_adapter(name) for name in entries):
        raise InvalidInputError(
            f"{path} holds LoRA adapters alone, not the model that they belong to.",
            "Choose the .ckpt of the model. Adapters are merged by convert-weight --reversed, of a file that has both.",
        )
    known = ", ".join(sorted(name for name, family in KEY_MAPS.items() if not family.direct))
    raise InvalidInputError(
        f"{path} holds no model that is known here: its first parameter is {next(iter(entries))[:200]!r}.",
        f"A .ckpt can be of {known}, with the names that MindFormers gives.",
    )


def _check_adapters(path: Path, entries: Dict[str, StoredTensor]) -> None:
    """Adapters beside the weights would be left out of a full training in silence."""
    adapters = [name for name in entries if is_adapter(name)]
    if adapters:
        raise InvalidInputError(
            f"{path} holds LoRA adapters that are not merged into the weights, {adapters[0]} among them.",
            "Merge them: sft-tui convert-weight --reversed --lora_scaling makes a Hugging Face folder, which goes into "
            "Model folder (model.hf_dir).",
        )


def _count_layers(path: Path, family: Family, entries: Dict[str, StoredTensor]) -> int:
    targets = {rule.target for rule in family.layer}
    numbers = [
        int(match[1]) for name in entries if _pattern(name) in targets and (match := re.search(r"\.(\d+)\.", name))
    ]
    layers = max(numbers, default=-1) + 1
    if not layers or layers > len(entries):
        what = "no layer" if not layers else f"layer {layers - 1}, and {len(entries):,} parameters in all"
        raise InvalidInputError(f"{path} is no whole {family.title}: it has {what}.", _CHOOSE_HINT)
    return layers


def _check_names(path: Path, family: Family, wanted: Sequence[str], entries: Dict[str, StoredTensor]) -> None:
    """All that the family has is there, and nothing that nobody knows."""
    known = set(wanted)
    unknown = [
        name
        for name, entry in entries.items()
        if name not in known
        and not is_of_training(entry, known)
        and not any(re.fullmatch(pattern, name) for pattern in family.not_loaded)
    ]
    missing = [name for name in wanted if name not in entries]
    if unknown:
        hint = f"{_CHOOSE_HINT} Their names are those that its convert_weight.py gives."
        if any(_CONCATENATED.fullmatch(name) for name in unknown):
            hint = "It was saved with qkv_concat: True, which is not trained here: convert the model without that."
        told = [f"{unknown[0][:200]} is unknown to this model"]
        if len(unknown) > 1:
            told.append(f"{len(unknown) - 1} more")
        raise InvalidInputError(f"{path} is not the {family.title} of MindFormers: {'; '.join(told)}.", hint)
    if missing:
        told = [f"{name} is missing" for name in missing]
        raise InvalidInputError(
            f"{path} holds only a part of the model: {cut_list(told)}.",
            f"{_CHOOSE_HINT} If it is one stage of a pipeline: {CKPT_MERGE_HINT}",
        )


def _read_sizes(path: Path, family: Family, entries: Dict[str, StoredTensor]) -> Dict[str, int]:
    """The dimensions that the family's rules name. Vectors come first: in a cut model at least the norms are whole."""
    sizes: Dict[str, int] = {"experts": 0}
    for rule in sorted(_rules(family), key=lambda rule: len(rule.shape)):
        found = entries.get(rule.target.format(layer=0))
        if found is None:  # an output layer that is tied
            continue
        if len(found.dims) != len(rule.shape) or not all(found.dims):
            kind = "vector" if len(rule.shape) == 1 else "matrix"
            raise InvalidInputError(
                f"{path}: {found.name} has the shape {list(found.dims)}, and is a {kind} in {family.title}.",
                _CHOOSE_HINT,
            )
        for name, size in zip(rule.shape, found.dims):
            sizes.setdefault(name, size)
    return sizes


def _check_shapes(path: Path, family: Family, wanted: Sequence[Parameter], entries: Dict[str, StoredTensor]) -> None:
    wrong = [(p, entries[p.name].dims) for p in wanted if entries[p.name].dims != p.stored_shape]
    if not wrong:
        return
    parameter, dims = wrong[0]
    inner = {rule.target for rule in family.layer}
    sliced = [(p, d) for p, d in wrong if _pattern(p.name) in inner and is_slice(d, p.stored_shape)]
    if sliced:
        parameter, dims = sliced[0]
        raise InvalidInputError(
            f"{path} holds the part of one rank of a parallel training: {parameter.name} has the shape {list(dims)}, "
            f"the whole model {list(parameter.stored_shape)}.",
            CKPT_MERGE_HINT,
        )
    raise InvalidInputError(
        f"{path}: the shapes do not go together: {parameter.name} has {list(dims)}, by the other tensors it would be "
        f"{list(parameter.stored_shape)}.",
        _CHOOSE_HINT,
    )


def _check_types(path: Path, wanted: Sequence[Parameter], entries: Dict[str, StoredTensor]) -> None:
    known = HF_TYPES.keys()
    other = next((entries[p.name] for p in wanted if entries[p.name].tensor_type not in known), None)
    if other is not None:
        message = f"{path}: {other.name} is {other.tensor_type}; weights are {', '.join(known)}."
        raise InvalidInputError(message, "Take the model that is not quantized.")
