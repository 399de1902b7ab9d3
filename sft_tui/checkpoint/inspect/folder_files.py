"""Lists the files of a checkpoint folder by the part they play."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, Literal, Mapping, Optional, Tuple

from sft_tui.checkpoint.formats.weight_files import SAFETENSORS, TORCH_BIN, WeightFormat, named_shards
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME

State = Literal["present", "missing", "not needed"]
Role = Literal["config", "generation config", "safetensors", "index", "bin", "bin index", "tokenizer", "ckpt"]

# Left by huggingface-cli, wget and browsers, aria2.
_UNFINISHED = re.compile(r".*\.(incomplete|part|partial|crdownload|aria2)$")


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


def list_files(
    folder: Path, tokenizer: str = "tokenizer.model", beside: Optional[Mapping[str, bool]] = None
) -> List[FolderFile]:
    """The files of a checkpoint folder, and those that it should have, `tokenizer` among them. Raises OSError.

    `beside` names files that go with the tokenizer, and whether they are needed.
    """
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    safetensors, bins = _weight_names(SAFETENSORS, sizes), _weight_names(TORCH_BIN, sizes)
    use_bins = bool(bins) and not safetensors
    files = [_needed("config", CONFIG_NAME, sizes), _optional("generation config", "generation_config.json", sizes)]
    files += _weights(folder, SAFETENSORS, ("safetensors", "index"), sizes, used=not use_bins)
    files += _weights(folder, TORCH_BIN, ("bin", "bin index"), sizes, used=use_bins)
    for name in ("tokenizer.json", "tokenizer.model"):
        files.append((_needed if name == tokenizer else _optional)("tokenizer", name, sizes))
    for name, needed in (beside or {}).items():
        files.append((_needed if needed else _optional)("tokenizer", name, sizes))
    return files


def _weight_names(kind: WeightFormat, sizes: Dict[str, int]) -> List[str]:
    """The files of that format that are there, its index among them."""
    return sorted(name for name in sizes if fnmatch(name, kind.pattern) or name == kind.index)


def _weights(
    folder: Path, kind: WeightFormat, roles: Tuple[Role, Role], sizes: Dict[str, int], *, used: bool
) -> List[FolderFile]:
    role, index_role = roles
    there = [name for name in _weight_names(kind, sizes) if name != kind.index]
    if not used:
        return [_unused(role, name, sizes) for name in there or [kind.single]] + [
            _unused(index_role, kind.index, sizes)
        ]
    if kind.single in sizes:
        named = [kind.single]
    else:
        named = named_shards(folder / kind.index) if kind.index in sizes else there
    files = [_needed(role, name, sizes) for name in named or [kind.single]]
    files += [_unused(role, name, sizes) for name in there if named and name not in named]
    index_needed = kind.single not in sizes and (len(there) > 1 or kind.index in sizes)
    return [*files, (_needed if index_needed else _unused)(index_role, kind.index, sizes)]


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
