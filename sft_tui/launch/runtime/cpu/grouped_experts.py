"""`FFNGroupedGEMM`: the experts of a layer, for which NPUs sort the tokens and multiply each expert's by themselves."""

from __future__ import annotations

from mindformers.parallel_core.training_graph.transformer.moe import ffn
from mindspore import ops


def mix_experts(tokens, probs, chosen, into, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """What the experts make of tokens [1, N, hidden]: every expert takes every token, and counts by its share of it.

    `chosen` and `probs` [1, N, k] are numbers and shares of the experts that a token goes to; no token is dropped, as
    on NPUs. `into` [experts, hidden, 2 x inner] has the gate beside what it gates, `out` is [experts, inner, hidden].
    """
    experts, hidden, _ = into.shape
    gate, up = ops.chunk(ops.matmul(tokens.reshape((1, -1, hidden)), into), 2, -1)
    said = ops.matmul(ops.silu(gate) * up, out)
    places = chosen.reshape((-1, chosen.shape[-1]))
    share = (ops.one_hot(places, experts).astype(tokens.dtype) * probs.reshape((-1, probs.shape[-1], 1))).sum(1)
    return (said * share.swapaxes(0, 1).expand_dims(-1)).sum(0).reshape(tokens.shape)


def construct(self, tokens, probs, routing_map):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """That of the cell, which keeps its experts below each other."""
    into = self.weight1.astype(tokens.dtype).reshape((self.num_local_experts, self.hidden_size, -1))
    out = self.weight2.astype(tokens.dtype).reshape((self.num_local_experts, -1, self.hidden_size))
    return mix_experts(tokens, probs.astype(tokens.dtype), routing_map, into, out)  # type: ignore[no-untyped-call]


def install() -> None:
    """The cell keeps its place, and its parameters their names."""
    ffn.FFNGroupedGEMM.construct = construct
