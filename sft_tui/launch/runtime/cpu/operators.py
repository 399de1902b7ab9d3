"""Operators that only NPUs have, for `predict` on CPU; imported before MindFormers, which takes them by name."""

from __future__ import annotations

from typing import Any, Optional

from mindspore import mint, ops


def argmax(input: Any, dim: Optional[int] = None, keepdim: bool = False) -> Any:  # noqa: ANN401 - mint's own
    """The place of the largest value (MindSpore `mint.argmax`)."""
    return ops.argmax(input, dim=dim, keepdim=keepdim)


mint.argmax = argmax
