"""Finds the LoRA adapters in what training saved, and describes how they are merged into their weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from sft_tui.checkpoint.copy.low_rank import Addition
from sft_tui.checkpoint.copy.precision import ITEM_BYTES
from sft_tui.checkpoint.copy.tensor_values import Values
from sft_tui.checkpoint.mapping.fused_layout import stored_values
from sft_tui.checkpoint.mapping.stored_tensor import StoredTensor
from sft_tui.checkpoint.mapping.tensor_map import Parameter
from sft_tui.errors import InvalidInputError

_WEIGHT = "weight"
# A and B of a weight, as networks of MindFormers' new kind and as those of mindpet call them
_ENDINGS = (("lora_A.weight", "lora_B.weight"), ("mindpet_delta_lora_a", "mindpet_delta_lora_b"))


@dataclass(frozen=True)
class Adapter:
    """The adapters of a parameter of shape (rows, columns): `a` (rank, columns) and `b` (rows, rank); rank of LoRA."""

    a: StoredTensor
    b: StoredTensor

    @property
    def names(self) -> Tuple[str, str]:
        """What they are called in the file."""
        return self.a.name, self.b.name


def is_adapter(name: str) -> bool:
    """Whether it is the name of an adapter's matrix, and not of the optimizer's state of one."""
    ends = tuple(f".{end}" for pair in _ENDINGS for end in pair)
    return name.endswith(ends) and not name.startswith("adam")


def find_adapters(saved: Path, entries: Dict[str, StoredTensor]) -> Dict[str, Adapter]:
    """The adapters among the parameters, by the name of the one that they belong to.

    Raises InvalidInputError naming the parameter for a half, one without its weight, or shapes that do not go together.
    """
    found: Dict[str, Adapter] = {}
    for name in entries:
        pair = next((pair for pair in _ENDINGS if name.endswith(tuple(f".{end}" for end in pair))), None)
        if pair is None:
            continue
        stem = name[: -len(pair[name.endswith(pair[1])])]
        a, b, weight = (entries.get(stem + end) for end in (*pair, _WEIGHT))
        if weight is None and stem.partition(".")[0].startswith("adam"):
            continue  # the optimizer's
        lacking = [stem + end for end, tensor in zip((*pair, _WEIGHT), (a, b, weight)) if tensor is None]
        if a is None or b is None or weight is None:
            raise InvalidInputError(f"{saved} holds {name} without {lacking[0]}.", "Name what training saved, whole.")
        if len(weight.dims) != 2 or a.dims != (b.dims[-1], weight.dims[1]) or b.dims != (weight.dims[0], a.dims[0]):
            shapes = ", ".join(str(list(tensor.dims)) for tensor in (a, b, weight))
            raise InvalidInputError(
                f"{saved}: the shapes of the adapters of {weight.name} do not go together: {shapes}.",
                "These are the parts of one rank of a parallel training, or of different models.",
            )
        for tensor in (a, b):
            if tensor.tensor_type not in ITEM_BYTES:
                raise InvalidInputError(
                    f"{saved}: {tensor.name} is {tensor.tensor_type}; only {', '.join(ITEM_BYTES)} can be merged.", ""
                )
        found[weight.name] = Adapter(a, b)
    return found


def check_request(saved: Path, adapters: Dict[str, Adapter], scaling: Optional[float]) -> None:
    """Adapters are merged when that is asked for, and never left out in silence. Raises InvalidInputError."""
    if adapters and scaling is None:
        rank = next(iter(adapters.values())).a.dims[0]
        raise InvalidInputError(
            f"{saved} holds LoRA adapters of {len(adapters)} parameters, of rank {rank}.",
            f"Merge them into the model with --lora_scaling: lora_alpha / {rank} (lora_alpha is in the YAML of the "
            "training, and in adapter_config.json beside its checkpoints).",
        )
    if scaling is not None and not (math.isfinite(scaling) and scaling > 0):
        raise InvalidInputError(f"--lora_scaling {scaling} is no scaling.", "It is lora_alpha / lora_rank: 2, say.")
    if scaling is not None and not adapters:
        raise InvalidInputError(f"{saved} holds no LoRA adapters.", "Leave --lora_scaling out.")


def build_addition(parameter: Parameter, adapter: Adapter, scaling: float) -> Addition:
    """What an adapter adds to the Hugging Face tensor whose rows `parameter` describes: scaling x B A.

    `scaling`: alpha / rank. The sum is in float32 (`copy/low_rank`).
    """
    rank, columns = adapter.a.dims
    whole = Values(ITEM_BYTES[adapter.a.tensor_type], adapter.a.nbytes, (adapter.a.run,))
    types = (adapter.a.tensor_type, adapter.b.tensor_type)
    return Addition(whole, stored_values(parameter, adapter.b), types, rank, columns, scaling)
