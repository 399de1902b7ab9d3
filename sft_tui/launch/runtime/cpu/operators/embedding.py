"""`mint.nn.functional.embedding`: rows of a matrix by their numbers; its gradient is an operator of NPUs."""

from __future__ import annotations

from mindspore import mint, ops


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Rows of `weight`, with a gradient that CPU has; the choices that change a gradient are refused."""
    if padding_idx is not None or max_norm is not None or scale_grad_by_freq:
        raise NotImplementedError("embedding on CPU has no padding_idx, max_norm or scale_grad_by_freq")
    return ops.gather(weight, input, 0)


def install() -> None:
    """MindFormers calls it by its whole name."""
    mint.nn.functional.embedding = embedding
