"""`FlashAttentionScore`: softmax(q k^T scale) v, where a mask of 1 means not seen."""

from __future__ import annotations

import mindspore as ms
from mindspore import ops
from mindspore.ops.operations import nn_ops

from sft_tui.launch.runtime.cpu.operators.in_place import InPlaceOfPrimitive

LEAST_SCORE = -3e38  # of what is not seen: its share is 0, and a row that sees nothing has no NaN


class FlashAttentionScore(InPlaceOfPrimitive):
    """The operator of that name for q [batch, heads, tokens, size], k and v with as many heads or a divisor of them.

    What it does not do raises NotImplementedError: other layouts, dropout, masks that are compressed (`sparse_mode`).
    """

    def __init__(  # type: ignore[no-untyped-def] # noqa: ANN204
        self, head_num=1, keep_prob=1.0, scale_value=1.0, input_layout="BNSD", sparse_mode=0, **_  # noqa: ANN001, ANN003
    ):  # fmt: skip
        super().__init__()
        asked = {"input_layout": input_layout, "keep_prob": keep_prob, "sparse_mode": sparse_mode}
        for name, known in (("input_layout", "BNSD"), ("keep_prob", 1), ("sparse_mode", 0)):
            if asked[name] != known:
                raise NotImplementedError(f"attention on CPU has {name} {known}, not {asked[name]}")
        self.scale = scale_value
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()

    def construct(  # type: ignore[no-untyped-def] # noqa: ANN201
        self, query, key, value, alibi=None, dropped=None, padding=None, mask=None, prefix=None  # noqa: ANN001
    ):  # fmt: skip
        dtype = query.dtype
        query, key, value = ops.cast(query, ms.float32), ops.cast(key, ms.float32), ops.cast(value, ms.float32)
        group = query.shape[1] // key.shape[1]
        if group > 1:
            key, value = ops.repeat_elements(key, group, 1), ops.repeat_elements(value, group, 1)
        score = self.scores(query, key) * self.scale
        if mask is not None:
            score = ops.masked_fill(score, ops.cast(mask, ms.bool_), LEAST_SCORE)
        return None, None, None, ops.cast(self.mix(ops.softmax(score, -1), value), dtype)


def install() -> None:
    """MindFormers takes it from `mindspore.ops.operations.nn_ops`."""
    nn_ops.FlashAttentionScore = FlashAttentionScore
