"""`mint.argmax`: the place of the largest value; `predict` asks for it."""

from __future__ import annotations

from typing import Any, Optional

from mindspore import mint, ops


def argmax(input: Any, dim: Optional[int] = None, keepdim: bool = False) -> Any:  # noqa: ANN401 - mint's own
    """The place of the largest value (MindSpore `mint.argmax`)."""
    return ops.argmax(input, dim=dim, keepdim=keepdim)


def install() -> None:
    """MindFormers takes it by name when it is imported."""
    mint.argmax = argmax
