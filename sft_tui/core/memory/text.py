"""The memory estimate of a training for people: a line, and a small table."""

from __future__ import annotations

from typing import Optional

from sft_tui.core.memory.estimate import GIB, Workload, estimate_memory
from sft_tui.core.memory.nearest_change import find_change


def memory_line(work: Workload, limit: Optional[int]) -> str:
    """Sum and verdict in a line; GB are 2**30 bytes, as in MindFormers' `max_device_memory`."""
    estimate = estimate_memory(work)
    if limit is None:
        return f"memory: about {estimate.total / GIB:.1f} GB of the host's for each worker"
    return f"memory: about {estimate.total / GIB:.1f} of {limit / GIB:.0f} GB on a device: {estimate.verdict(limit)}"


def memory_lines(work: Workload, limit: Optional[int]) -> list[str]:
    """The parts, their sum, the verdict, and the nearest change where it is not plain that it fits."""
    estimate = estimate_memory(work)
    lines = ["Memory of a worker, about" if limit is None else "Memory of a device, about"]
    lines += [f"  {name:16}{_shown(size)}" for name, size in estimate.parts]
    lines.append(f"  {'together':16}{_shown(estimate.total)}")
    if limit is None:
        return lines
    verdict = estimate.verdict(limit)
    lines += [f"  {'in its pool':16}{limit / GIB:8.1f} GB: {verdict}"]
    if verdict != "fits":
        change = find_change(work, limit)
        text = "no single change is enough" if change is None else f"{change.text}, then {change.total / GIB:.1f} GB"
        lines.append(f"nearest change: {text}")
    return lines


def _shown(size: int) -> str:
    """A toy model has none of it in GB."""
    return f"{size / GIB:8.1f} GB" if size >= GIB / 10 else f"{size / 2**20:8.1f} MB"


def layout_line(work: Workload) -> str:
    """How the workers share the training, under MindFormers' names."""
    line = f"data_parallel {work.data_parallel} x model_parallel {work.model_parallel}"
    line += f" x pipeline_stage {work.pipeline_stage}"
    if work.num_experts:
        line += f", expert_parallel {work.expert_parallel}"
    if work.pipeline_stage > 1:
        line += f", {work.micro_batch_num} micro batches"
    if work.lora_rank:
        line += f", LoRA of rank {work.lora_rank} on {' '.join(work.lora_targets)}"
    return line
