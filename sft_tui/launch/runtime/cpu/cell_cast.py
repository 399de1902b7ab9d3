"""`Cell.cast`: MindSpore up to 2.4 gives each cell one, and MindFormers 1.3 counts on it."""

from __future__ import annotations

from typing import Any

from mindformers.modules import layers
from mindspore import nn, ops


def install() -> None:
    """Rotary embeddings alone use it without having made it themselves."""
    if hasattr(nn.Cell, "cast") or not hasattr(layers, "RotaryEmbedding"):
        return
    make = layers.RotaryEmbedding.__init__

    def make_with_cast(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - MindFormers' own
        make(self, *arguments, **named)
        self.cast = ops.Cast()

    layers.RotaryEmbedding.__init__ = make_with_cast
