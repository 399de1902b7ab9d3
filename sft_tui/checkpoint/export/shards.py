"""Plans safetensors files of at most 5 GB, as transformers cuts them, and the bytes before their values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS
from sft_tui.checkpoint.mapping.trained_model import HfTensor

SHARD_BYTES = 5_000_000_000  # save_pretrained's max_shard_size
_ALIGNMENT = 8


@dataclass(frozen=True)
class Shard:
    """One file: its name, and its tensors in order."""

    name: str
    tensors: Tuple[HfTensor, ...]

    def header(self) -> bytes:
        """The length and the JSON text that stand before the values."""
        described: Dict[str, object] = {"__metadata__": {"format": "pt"}}
        at = 0
        for tensor in self.tensors:
            end = at + tensor.cast.nbytes
            described[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, end]}
            at = end
        text = json.dumps(described, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    @property
    def nbytes(self) -> int:
        """The size of the file."""
        return len(self.header()) + sum(tensor.cast.nbytes for tensor in self.tensors)


def plan_shards(tensors: Sequence[HfTensor]) -> List[Shard]:
    """Cut the tensors, in their order, into files; only a tensor that is larger itself makes one over `SHARD_BYTES`."""
    groups: List[List[HfTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        if groups[-1] and filled + tensor.cast.nbytes > SHARD_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += tensor.cast.nbytes
    if len(groups) == 1:
        return [Shard(SAFETENSORS.single, tuple(groups[0]))]
    return [
        Shard(f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(group))
        for number, group in enumerate(groups, 1)
    ]


def shards_like(tensors: Sequence[HfTensor], others: Sequence[TensorEntry]) -> List[Shard]:
    """The tensors in the files, and there in the order, in which another model has them; none if it has others."""
    if {(t.name, t.shape, t.dtype) for t in tensors} != {(other.name, other.shape, other.dtype) for other in others}:
        return []
    by_name = {tensor.name: tensor for tensor in tensors}
    groups: Dict[str, List[HfTensor]] = {}
    for other in others:
        groups.setdefault(other.file.name, []).append(by_name[other.name])
    if len(groups) == 1:
        return [Shard(SAFETENSORS.single, tuple(group)) for group in groups.values()]
    return [Shard(name, tuple(group)) for name, group in groups.items()]


def index_text(shards: Sequence[Shard]) -> str:
    """The content of model.safetensors.index.json."""
    total = sum(tensor.cast.nbytes for shard in shards for tensor in shard.tensors)
    weight_map = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2) + "\n"
