"""A cell that stands where MindFormers expects a primitive."""

from __future__ import annotations

from typing import Any

from mindspore import nn


class InPlaceOfPrimitive(nn.Cell):  # type: ignore[misc]
    """Takes the calls that set up a primitive for several devices; on CPU no operator is sharded."""

    def shard(self, *_strategies: Any, **_named: Any) -> InPlaceOfPrimitive:  # noqa: ANN401 - a primitive's own
        """What `Primitive.shard` returns: itself."""
        return self

    def recompute(self, _mode: bool = True) -> InPlaceOfPrimitive:
        """What `Primitive.recompute` returns: itself; on CPU all that the backward pass needs is kept."""
        return self

    def add_prim_attr(self, _name: str, _value: Any) -> InPlaceOfPrimitive:  # noqa: ANN401 - a primitive's own
        """What `Primitive.add_prim_attr` returns: itself."""
        return self
