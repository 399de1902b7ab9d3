"""Finds every tensor of a checkpoint folder: one file, or shards with an index, as safetensors or as PyTorch `.bin`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.checkpoint.formats.source_file import (
    DOWNLOAD_HINT,
    check_folder,
    check_regular_file,
    load_json_object,
    not_read,
)
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.torch_bin import load_bin
from sft_tui.errors import InvalidInputError


@dataclass(frozen=True)
class WeightFormat:
    """How the files of a checkpoint are called, and how one is read."""

    single: str
    index: str
    pattern: str
    load: Callable[[Path], List[TensorEntry]]

    @property
    def suffix(self) -> str:
        """What the names end with."""
        return Path(self.single).suffix


SAFETENSORS = WeightFormat("model.safetensors", "model.safetensors.index.json", "*.safetensors", load_header)
# folders also hold training_args.bin, optimizer.bin and the like
TORCH_BIN = WeightFormat("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model*.bin", load_bin)
# beside whole weights: adapters of LoRA, what only training needs
_NO_WEIGHTS = ("adapter_", "optimizer", "scheduler", "training_")
_PART_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.\w+$")


def is_weight_file(name: str) -> bool:
    """Whether a file of that name may hold a model's weights, in a format that is read."""
    named = any(fnmatch(name, kind.pattern) or name == kind.index for kind in (SAFETENSORS, TORCH_BIN))
    return named and not name.startswith(_NO_WEIGHTS)


@dataclass(frozen=True)
class WeightFiles:
    """The files that make up a checkpoint. `weight_map` says which tensor is in which; None: a single file."""

    format: WeightFormat
    shards: Tuple[Path, ...]
    weight_map: Optional[Dict[str, str]]


def load_tensor_entries(folder: Path) -> List[TensorEntry]:
    """All tensors of a checkpoint, ordered by file name, then by place in the file.

    `folder` is the checkpoint folder, or one safetensors or `.bin` file. Reads headers only.
    Raises InvalidInputError naming the file and, where there is one, the tensor.
    """
    if folder.is_file():
        kind = TORCH_BIN if folder.suffix == TORCH_BIN.suffix else SAFETENSORS
        return _whole([(folder, kind.load(folder))], kind)
    check_folder(folder)
    try:
        found = find_weight_files(folder)
    except OSError as error:
        raise not_read(folder, error) from error
    entries = _whole([(shard, found.format.load(shard)) for shard in found.shards], found.format)
    if found.weight_map is not None:
        _check_agreement(folder / found.format.index, entries, found.weight_map)
    return entries


def find_weight_files(folder: Path) -> WeightFiles:
    """The files that make up the checkpoint: safetensors before `.bin`, a single file before an index.

    The order is that of transformers. Raises InvalidInputError, OSError.
    """
    for kind in (SAFETENSORS, TORCH_BIN):
        found = _find_files(folder, kind)
        if found is not None:
            return found
    raise InvalidInputError(
        f"{folder} has no safetensors file and no pytorch_model.bin.", "Choose a folder with model*.safetensors."
    )


def _find_files(folder: Path, kind: WeightFormat) -> Optional[WeightFiles]:
    if (folder / kind.single).exists() or (folder / kind.single).is_symlink():
        return WeightFiles(kind, (_inside(folder, kind.single, kind),), None)
    if (folder / kind.index).exists():
        weight_map = _load_weight_map(folder / kind.index)
        shards = tuple(_inside(folder, name, kind) for name in sorted(set(weight_map.values())))
        _check_all_there(shards)
        return WeightFiles(kind, shards, weight_map)
    found = sorted(path for path in folder.glob(kind.pattern) if not path.name.startswith(_NO_WEIGHTS))
    if not found:
        return None
    part = _PART_NAME.search(found[0].name)
    if len(found) > 1 or (part and int(part.group(2)) > 1):
        raise InvalidInputError(f"{folder} has {len(found)} shards but no {kind.index}.", "Download the index as well.")
    return WeightFiles(kind, (_inside(folder, found[0].name, kind),), None)


def named_shards(index: Path) -> List[str]:
    """The shards that an index names, sorted; none when it cannot be read."""
    try:
        return sorted(set(_load_weight_map(index).values()))
    except InvalidInputError:
        return []


def _index_hint(index: Path) -> str:
    return f"Download {index.name} and the shards again, all of the same model."


def _load_weight_map(index: Path) -> Dict[str, str]:
    weight_map = load_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InvalidInputError(f"{index} has no weight_map.", _index_hint(index))
    for name, file in weight_map.items():
        if not isinstance(file, str) or not file or "\0" in file:
            raise InvalidInputError(f"{index} names no file for tensor {name[:200]!r}.", _index_hint(index))
    return weight_map


def _inside(folder: Path, name: str, kind: WeightFormat) -> Path:
    """The path of a shard: a file beside the index, or a link there to one elsewhere, as shared disks have them."""
    path = folder / name
    hint = "Choose a folder that holds the files themselves; an index may only name files beside it."
    if Path(name).is_absolute() or len(Path(name).parts) != 1 or name in (".", ".."):
        raise InvalidInputError(f"{folder / kind.index} names a file outside its folder: {name[:200]!r}.", hint)
    try:
        path.resolve(strict=True)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InvalidInputError(f"{path} is a link that leads nowhere.", DOWNLOAD_HINT) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise InvalidInputError(f"{path} is a link that leads nowhere.", DOWNLOAD_HINT) from error
    return path


def outside_place(path: Path) -> Optional[Path]:
    """The folder that a link out of its own one leads to; None for a file in its place, and for a hub's cache."""
    real, home = path.resolve(), path.parent.resolve()
    allowed = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    return None if real.parent in allowed else real.parent


def _check_all_there(shards: Tuple[Path, ...]) -> None:
    missing = [shard.name for shard in shards if not shard.exists()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InvalidInputError(
            f"{shards[0].parent} lacks {len(missing)} of {len(shards)} shards: {', '.join(missing[:5])}{more}.",
            "Download them.",
        )
    for shard in shards:
        check_regular_file(shard)


def _whole(loaded: List[Tuple[Path, List[TensorEntry]]], kind: WeightFormat) -> List[TensorEntry]:
    home: Dict[str, Path] = {}
    for shard, entries in loaded:
        for entry in entries:
            if entry.name in home:
                raise InvalidInputError(
                    f"Tensor {entry.name!r} is both in {home[entry.name].name} and in {shard}.",
                    _index_hint(shard.parent / kind.index),
                )
            home[entry.name] = shard
    if not home:
        raise InvalidInputError(f"{loaded[0][0]} holds no tensor.", DOWNLOAD_HINT)
    return [entry for _, entries in loaded for entry in entries]


def _check_agreement(index: Path, entries: List[TensorEntry], weight_map: Dict[str, str]) -> None:
    hint = _index_hint(index)
    there = {entry.name: entry.file.name for entry in entries}
    for name, file in weight_map.items():
        if name not in there:
            raise InvalidInputError(f"{index} says that {file} holds tensor {name[:200]!r}; it does not.", hint)
        if there[name] != file:
            raise InvalidInputError(f"{index} says that {file} holds tensor {name!r}; it is in {there[name]}.", hint)
    for name, file in there.items():
        if name not in weight_map:
            raise InvalidInputError(f"{index.parent / file} holds tensor {name!r}, which {index} lacks.", hint)
