"""`Outer`: the products of each element of one vector with each of another."""

from __future__ import annotations

from mindspore import ops
from mindspore.ops import auto_generate

from sft_tui.launch.runtime.cpu.operators.in_place import InPlaceOfPrimitive


class Outer(InPlaceOfPrimitive):
    """The operator of that name, from a multiplication that broadcasts."""

    def construct(self, a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return ops.mul(a.reshape(-1, 1), b.reshape(1, -1))


def install() -> None:
    """MindFormers takes it from `mindspore.ops.auto_generate`."""
    auto_generate.Outer = Outer
