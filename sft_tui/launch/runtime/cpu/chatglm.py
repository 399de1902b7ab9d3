"""MindFormers' ChatGLM2 off NPUs: its norm step by step, and a mask that works without flash attention."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from mindspore import dtype as ms_types
from mindspore import nn, ops

PACKAGE = "mindformers.models.glm2"


class MaskProduct(nn.Cell):  # type: ignore[misc]
    """The mask times the score of what must not be seen.

    The mask is of 8 bits without a sign, and so is MindFormers' own product: -10000 becomes 240, and each place sees
    what follows and nothing else. On NPUs flash attention takes the mask as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cast = ops.Cast()

    def construct(self, mask: Any, score: float) -> Any:  # noqa: ANN401 - tensors
        """Both of any shape; float32."""
        return ops.mul(self.cast(mask, ms_types.float32), score)


def install() -> None:
    """Have MindFormers' own classes make what they need."""
    if importlib.util.find_spec(PACKAGE) is None:
        return
    modules = importlib.import_module(f"{PACKAGE}.glm2_modules")
    setattr(modules, "check_rmsnorm_big_kernel_valid", lambda: False)  # noqa: B010 - mypy knows no such name
    transformer = importlib.import_module(f"{PACKAGE}.glm2_transformer")
    # MindSpore's cells once had a `cast`: its own steps count on it, and in MindFormers 1.3 all the others do
    for name, cell in {**vars(modules), **vars(transformer)}.items():
        if name.startswith("ChatGLM2") and isinstance(cell, type) and issubclass(cell, nn.Cell):
            _give(cell, "cast", ops.Cast)
    _give(transformer.CoreAttention, "mul_mask", MaskProduct, instead=True)


def _give(cell: Any, name: str, make: Any, *, instead: bool = False) -> None:  # noqa: ANN401 - MindFormers' own
    made = cell.__init__

    def make_with(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - MindFormers' own
        made(self, *arguments, **named)
        if instead or not hasattr(self, name):
            setattr(self, name, make())

    cell.__init__ = make_with
