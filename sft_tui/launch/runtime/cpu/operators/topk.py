"""`TopkExt`: the largest numbers along the last axis, and their places."""

from __future__ import annotations

from mindspore import ops
from mindspore.ops import auto_generate

from sft_tui.launch.runtime.cpu.operators.in_place import InPlaceOfPrimitive


class TopkExt(InPlaceOfPrimitive):
    """The operator of that name, the largest first; the choices that the router of experts leaves alone are refused."""

    def construct(self, input, k, dim=-1, largest=True, sorted=True):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        if dim not in (-1, input.ndim - 1) or not largest:
            raise NotImplementedError("the largest along the last axis alone are found on CPU")
        return ops.TopK(sorted=True)(input, k)


def install() -> None:
    """MindFormers takes it from `mindspore.ops.auto_generate`."""
    auto_generate.TopkExt = TopkExt
