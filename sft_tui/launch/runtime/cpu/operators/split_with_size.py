"""`SplitWithSize`: cuts a tensor along one axis into parts of given sizes."""

from __future__ import annotations

from typing import Any

from mindspore import ops
from mindspore.ops import auto_generate

from sft_tui.launch.runtime.cpu.operators.in_place import InPlaceOfPrimitive


class SplitWithSize(InPlaceOfPrimitive):
    """The operator of that name, from slices."""

    def construct(self, x, sizes, dim):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        axis = dim if dim >= 0 else x.ndim + dim
        parts: Any = ()
        at = 0
        for size in sizes:
            parts = (*parts, ops.narrow(x, axis, at, size))
            at = at + size
        return parts


def install() -> None:
    """MindFormers takes it from `mindspore.ops.auto_generate`."""
    auto_generate.SplitWithSize = SplitWithSize
