"""Finds every tensor of a checkpoint folder: one safetensors file, or shards with an index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Tuple

from sft_tui.checkpoint.safetensors_header import TensorEntry, load_header
from sft_tui.checkpoint.source_file import DOWNLOAD_HINT, check_folder, check_regular_file, load_json_object, not_read
from sft_tui.errors import InvalidInputError

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
_SHARD_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_INDEX_HINT = f"Download {INDEX_NAME} and the shards again, all of the same model."


def load_tensor_entries(folder: Path) -> List[TensorEntry]:
    """All tensors of a checkpoint, ordered by file name, then by place in the file.

    `folder` is the checkpoint folder, or one safetensors file. Reads headers only.
    Raises InvalidInputError naming the file and, where there is one, the tensor.
    """
    if folder.is_file():
        return _whole([(folder, load_header(folder))])
    check_folder(folder)
    try:
        shards, weight_map = find_shards(folder)
    except OSError as error:
        raise not_read(folder, error) from error
    loaded = [(shard, load_header(shard)) for shard in shards]
    entries = _whole(loaded)
    if weight_map is not None:
        _check_agreement(folder, entries, weight_map)
    return entries


def find_shards(folder: Path) -> Tuple[List[Path], Dict[str, str] | None]:
    """The safetensors files that make up the checkpoint, and the index's weight_map (None: a single file, no index).

    `model.safetensors` comes before an index, as in transformers. Raises InvalidInputError, OSError.
    """
    if (folder / SINGLE_NAME).exists() or (folder / SINGLE_NAME).is_symlink():
        return [_inside(folder, SINGLE_NAME)], None
    if (folder / INDEX_NAME).exists():
        weight_map = _load_weight_map(folder / INDEX_NAME)
        shards = [_inside(folder, name) for name in sorted(set(weight_map.values()))]
        _check_all_there(shards)
        return shards, weight_map
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise InvalidInputError(f"{folder} has no safetensors file.", "Choose a folder with model*.safetensors.")
    part = _SHARD_NAME.search(found[0].name)
    if len(found) > 1 or (part and int(part.group(2)) > 1):
        raise InvalidInputError(f"{folder} has {len(found)} shards but no {INDEX_NAME}.", "Download the index as well.")
    return [_inside(folder, found[0].name)], None


def named_shards(index: Path) -> List[str]:
    """The shards that an index names, sorted; none when it cannot be read."""
    try:
        return sorted(set(_load_weight_map(index).values()))
    except InvalidInputError:
        return []


def _load_weight_map(index: Path) -> Dict[str, str]:
    weight_map = load_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InvalidInputError(f"{index} has no weight_map.", _INDEX_HINT)
    for name, file in weight_map.items():
        if not isinstance(file, str) or not file or "\0" in file:
            raise InvalidInputError(f"{index} names no file for tensor {name[:200]!r}.", _INDEX_HINT)
    return weight_map


def _inside(folder: Path, name: str) -> Path:
    """The path of a shard that really lies in the folder.

    A Hugging Face cache keeps a snapshot's files in `blobs` two folders up; links there are how it is meant to be.
    """
    path = folder / name
    hint = "Choose a folder that holds the files themselves; an index may only name files beside it."
    if Path(name).is_absolute() or len(Path(name).parts) != 1 or name in (".", ".."):
        raise InvalidInputError(f"{folder / INDEX_NAME} names a file outside its folder: {name[:200]!r}.", hint)
    try:
        real, home = path.resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise InvalidInputError(f"{path} is a link that leads nowhere.", DOWNLOAD_HINT) from error
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parent.parent / "blobs")
    if real.parent not in allowed:
        raise InvalidInputError(f"{path} is a link to {real}, outside its folder.", hint)
    return path


def _check_all_there(shards: List[Path]) -> None:
    missing = [shard.name for shard in shards if not shard.exists()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InvalidInputError(
            f"{shards[0].parent} lacks {len(missing)} of {len(shards)} shards: {', '.join(missing[:5])}{more}.",
            "Download them.",
        )
    for shard in shards:
        check_regular_file(shard)


def _whole(loaded: List[Tuple[Path, List[TensorEntry]]]) -> List[TensorEntry]:
    home: Dict[str, Path] = {}
    for shard, entries in loaded:
        for entry in entries:
            if entry.name in home:
                raise InvalidInputError(
                    f"Tensor {entry.name!r} is both in {home[entry.name].name} and in {shard}.", _INDEX_HINT
                )
            home[entry.name] = shard
    if not home:
        raise InvalidInputError(f"{loaded[0][0]} holds no tensor.", DOWNLOAD_HINT)
    return [entry for _, entries in loaded for entry in entries]


def _check_agreement(folder: Path, entries: List[TensorEntry], weight_map: Dict[str, str]) -> None:
    index = folder / INDEX_NAME
    there = {entry.name: entry.file.name for entry in entries}
    for name, file in weight_map.items():
        if name not in there:
            raise InvalidInputError(f"{index} says that {file} holds tensor {name!r}; it does not.", _INDEX_HINT)
        if there[name] != file:
            raise InvalidInputError(
                f"{index} says that {file} holds tensor {name!r}; it is in {there[name]}.", _INDEX_HINT
            )
    for name, file in there.items():
        if name not in weight_map:
            raise InvalidInputError(f"{folder / file} holds tensor {name!r}, which {index} lacks.", _INDEX_HINT)
