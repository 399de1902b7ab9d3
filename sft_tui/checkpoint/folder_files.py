"""The files of a checkpoint folder by the part they play."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Literal, Optional

from sft_tui.checkpoint.model_config import CONFIG_NAME
from sft_tui.checkpoint.safetensors_index import INDEX_NAME, SINGLE_NAME, named_shards

State = Literal["present", "missing", "not needed"]
Role = Literal["config", "generation config", "safetensors", "index", "bin", "bin index", "tokenizer"]

BIN_INDEX_NAME = "pytorch_model.bin.index.json"
# Left by huggingface-cli, wget and browsers, aria2.
_UNFINISHED = re.compile(r".*\.(incomplete|part|partial|crdownload|aria2)$")
_BIN = re.compile(r"pytorch_model.*\.bin$")


@dataclass(frozen=True)
class FolderFile:
    """One file: its part, its name, whether it is there, and its size in bytes (None: it is not there).

    `not needed` files play no part in converting, there or not: `.bin` files beside safetensors, for one.
    """

    role: Role
    name: str
    state: State
    size: Optional[int]

    def to_json(self) -> Dict[str, object]:
        """The file as a JSON object."""
        return asdict(self)


def list_files(folder: Path) -> List[FolderFile]:
    """The files of a checkpoint folder, and those that it should have. Raises OSError."""
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    shards = sorted(name for name in sizes if name.endswith(".safetensors"))
    single = SINGLE_NAME in sizes
    bins = sorted(name for name in sizes if _BIN.match(name))
    files = [_needed("config", CONFIG_NAME, sizes), _optional("generation config", "generation_config.json", sizes)]
    if single:
        files.append(_needed("safetensors", SINGLE_NAME, sizes))
        files += [_unused("safetensors", name, sizes) for name in shards if name != SINGLE_NAME]
    else:
        named = named_shards(folder / INDEX_NAME) if INDEX_NAME in sizes else shards
        files += [_needed("safetensors", name, sizes) for name in named or [SINGLE_NAME]]
        files += [_unused("safetensors", name, sizes) for name in shards if named and name not in named]
    index_needed = not single and (len(shards) > 1 or INDEX_NAME in sizes)
    files.append((_needed if index_needed else _unused)("index", INDEX_NAME, sizes))
    judge_bin = _unused if shards or INDEX_NAME in sizes else _optional
    files += [judge_bin("bin", name, sizes) for name in bins]
    files.append(judge_bin("bin index", BIN_INDEX_NAME, sizes))
    files.append(_optional("tokenizer", "tokenizer.json", sizes))
    files.append(_needed("tokenizer", "tokenizer.model", sizes))
    return files


def find_unfinished(folder: Path) -> List[str]:
    """Names in the folder of what a broken-off download left, also where huggingface-cli hides it. Raises OSError."""
    places = (folder, folder / ".cache" / "huggingface" / "download")
    paths = [path for place in places if place.is_dir() for path in place.iterdir()]
    return sorted(str(path.relative_to(folder)) for path in paths if _UNFINISHED.match(path.name))


def _needed(role: Role, name: str, sizes: Dict[str, int]) -> FolderFile:
    return FolderFile(role, name, "present" if name in sizes else "missing", sizes.get(name))


def _optional(role: Role, name: str, sizes: Dict[str, int]) -> FolderFile:
    return FolderFile(role, name, "present" if name in sizes else "not needed", sizes.get(name))


def _unused(role: Role, name: str, sizes: Dict[str, int]) -> FolderFile:
    return FolderFile(role, name, "not needed", sizes.get(name))
