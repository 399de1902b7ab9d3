"""`DropoutExt`: leaves out a share of the numbers at random, and makes up for it with the others."""

from __future__ import annotations

from mindspore import ops
from mindspore.ops import auto_generate

from sft_tui.launch.runtime.cpu.operators.in_place import InPlaceOfPrimitive


class DropoutExt(InPlaceOfPrimitive):
    """The operator of that name: what is left, and the mask. The numbers at random are those of CPU's own dropout."""

    def construct(self, input, p=0.5, seed=None, offset=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        kept = ops.dropout(ops.ones_like(input), p, True)
        return input * kept, kept != 0


def install() -> None:
    """MindFormers takes it from `mindspore.ops.auto_generate` when it makes a layer."""
    auto_generate.DropoutExt = DropoutExt
