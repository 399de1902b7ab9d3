"""Loss on held-out data: the network as it trains, without gradients and optimizer, over every row once.

`run_mode: eval` of MindFormers does not work for networks of its new kind. The YAML names the two classes below as
`runner_wrapper` and callback; all else is a training of one epoch, so that layout and loading are those of training.

MindFormers cannot evaluate these networks by itself, so this stands in the place of the training step.
"""

from __future__ import annotations

import math
from typing import Any

from mindformers.tools.logger import logger
from mindformers.tools.register import MindFormerModuleType, MindFormerRegister
from mindspore import nn
from mindspore.train import Callback


@MindFormerRegister.register(MindFormerModuleType.WRAPPER)
class HeldOutCell(nn.Cell):  # type: ignore[misc]
    """What stands in the place of a training step; wants `calculate_per_token_loss: True`."""

    def __init__(self, network, optimizer=None, **_):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN204
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *inputs):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN201
        """Sum of the losses of all trained tokens of a batch, and their number."""
        total, tokens, _, _, _ = self.network(*inputs)
        return total, tokens


@MindFormerRegister.register(MindFormerModuleType.CALLBACK)
class HeldOutLoss(Callback):  # type: ignore[misc]
    """Adds up in double precision, so that every trained token weighs alike, and tells the mean in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0
        self.tokens = 0
        self.batches = 0

    def on_train_step_end(self, run_context: Any) -> None:  # noqa: ANN401 - MindSpore's own
        """One batch was measured."""
        total, tokens = run_context.original_args().net_outputs
        self.total += float(total.asnumpy().sum(dtype="float64"))
        self.tokens += round(float(tokens.asnumpy().sum(dtype="float64")))
        self.batches += 1

    def on_train_end(self, _run_context: Any) -> None:  # noqa: ANN401 - MindSpore's own
        """All were."""
        if not self.tokens:
            raise ValueError("the held-out data has no token that would be trained: there is no loss")
        loss = self.total / self.tokens
        perplexity = math.exp(min(loss, 700.0))
        text = (
            f"held-out loss: {loss:.6f}, perplexity: {perplexity:.6g}, {self.tokens} tokens in {self.batches} batches"
        )
        logger.info(text)
