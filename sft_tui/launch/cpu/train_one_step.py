"""A training cell for CPU: `MFTrainOneStepCell` asks an NPU operator whether gradients overflowed.

MindFormers imports this file by itself (`--register_path` and `auto_register`), so it imports
MindFormers at its top: it is never imported by sft-tui.
"""

from __future__ import annotations

from mindformers.tools.register import MindFormerModuleType, MindFormerRegister
from mindformers.wrapper import MFTrainOneStepCell
from mindspore import ops


@MindFormerRegister.register(MindFormerModuleType.WRAPPER)
class CpuTrainOneStepCell(MFTrainOneStepCell):  # type: ignore[misc]
    """`MFTrainOneStepCell` that looks for infinities and NaN in the gradients themselves."""

    def start_overflow_check(self, pre_cond, compute_input):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return ops.zeros(8), compute_input

    def get_overflow_status(self, status, compute_output):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        finite = True
        for gradient in compute_output:
            finite = ops.logical_and(ops.isfinite(gradient).all(), finite)
        return ops.logical_not(finite)
