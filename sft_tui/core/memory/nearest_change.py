"""The nearest single change by which a training fits: found by trying, the cheapest for the result first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Optional

from sft_tui.core.memory.estimate import Workload, estimate_memory

LORA_RANK = 8  # MindFormers' lora_llama2_13b.yaml


@dataclass(frozen=True)
class Change:
    """One change: the profile field, what to do, the bytes that the training takes then."""

    field: str
    text: str
    total: int


def find_change(work: Workload, limit: int) -> Optional[Change]:
    """The first change with which the training takes at most `limit` bytes; None where no single one is enough.

    In the order of what it costs: time alone, then memory of batches (the result changes little), then length, then
    what is trained, then how the devices are used.
    """
    for field, text, changed in _changes(work):
        total = estimate_memory(changed).total
        if total <= limit:
            return Change(field, text, total)
    return None


def _changes(work: Workload) -> Iterator[tuple[str, str, Workload]]:
    if not work.recompute:
        yield "training.recompute", "switch recompute on", replace(work, recompute=True, select_recompute=0)
    if not work.parallel_optimizer and work.data_parallel > 1:
        yield "training.parallel_optimizer", "switch the parallel optimizer on", replace(work, parallel_optimizer=True)
    yield from _smaller(work)
    if not work.lora_rank:
        yield "training.method", "train with LoRA", replace(work, lora_rank=LORA_RANK)
    yield from _other_layouts(work)


def _smaller(work: Workload) -> Iterator[tuple[str, str, Workload]]:
    size = work.batch_size // 2
    while size:
        yield "training.batch_size", f"batch size {size}", replace(work, batch_size=size)
        size //= 2
    length = 1 << (work.seq_length - 1).bit_length() >> 1
    # below a quarter most answers would be cut
    while length >= max(work.seq_length // 4, 16):
        yield "dataset.seq_length", f"sequence length {length}", replace(work, seq_length=length)
        length //= 2


def _other_layouts(work: Workload) -> Iterator[tuple[str, str, Workload]]:
    """More slices from the devices there are: first of the experts, then with fewer ranks of data_parallel."""
    for factor in _divisors(work.num_experts):
        parallel = work.expert_parallel * factor
        if not (work.num_experts % parallel or work.data_parallel * work.model_parallel % parallel):
            changed = replace(work, expert_parallel=parallel)
            yield "training.expert_parallel", f"expert_parallel {parallel}", changed
    for factor in _divisors(work.data_parallel):
        parallel = work.model_parallel * factor
        if not any(size % parallel for size in (work.num_heads, work.num_kv_heads, work.vocab_size)):
            changed = replace(work, model_parallel=parallel, data_parallel=work.data_parallel // factor)
            yield "training.model_parallel", f"model_parallel {parallel}", changed
    for factor in _divisors(work.data_parallel):
        stages = work.pipeline_stage * factor
        left = work.data_parallel // factor * work.model_parallel
        if work.num_layers % stages == 0 and left % work.expert_parallel == 0:
            changed = replace(
                work,
                pipeline_stage=stages,
                data_parallel=work.data_parallel // factor,
                micro_batch_num=max(work.micro_batch_num, stages),
            )
            yield "training.pipeline_stage", f"pipeline_stage {stages}", changed


def _divisors(number: int) -> list[int]:
    return [factor for factor in range(2, number + 1) if number % factor == 0]
