"""A training cell for CPU, where two operators are missing: the test for overflow, and AllReduce of integers.

MindFormers imports this file by itself (`--register_path` and `auto_register`), so it imports
MindFormers at its top: it is never imported by sft-tui.
"""

from __future__ import annotations

import inspect

from mindformers.tools.register import MindFormerModuleType, MindFormerRegister
from mindformers.wrapper import MFTrainOneStepCell
from mindspore import dtype as mstype
from mindspore import nn, ops


class AllReduceAsFloat(nn.Cell):  # type: ignore[misc]
    """Sum of a small integer over all workers, exact as long as it is below 2^24."""

    def __init__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, value):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return ops.cast(self.all_reduce(ops.cast(value, mstype.float32)), mstype.int32)


@MindFormerRegister.register(MindFormerModuleType.WRAPPER)
class CpuTrainOneStepCell(MFTrainOneStepCell):  # type: ignore[misc]
    """`MFTrainOneStepCell` that looks for infinities and NaN in the gradients themselves."""

    def __init__(self, *args, **kwargs):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN204
        super().__init__(*args, **kwargs)
        graceful = getattr(self, "use_graceful_exit", False)
        if graceful and self.graceful_exit.is_distributed:
            self.graceful_exit.all_reduce = AllReduceAsFloat()  # type: ignore[no-untyped-call]
        # MindFormers up to 1.3 does not ask between the steps; what is asked below is, once a step, with all gradients
        self.asks_to_exit = graceful and "exit_by_request" not in inspect.getsource(MFTrainOneStepCell.construct)

    def start_overflow_check(self, pre_cond, compute_input):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return ops.zeros(8), compute_input

    def get_overflow_status(self, status, compute_output):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        finite = True
        if self.asks_to_exit:
            compute_output = self.graceful_exit.exit_by_request(compute_output, self.init_param, self.exit_param)
        for gradient in compute_output:
            finite = ops.logical_and(ops.isfinite(gradient).all(), finite)
        return ops.logical_not(finite)
