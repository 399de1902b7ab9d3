"""Bytes that one training takes on each device, by part, before it is started.

The formula, for the stage of the pipeline that needs most. P are the parameters of that stage on one device (layers by
pipeline_stage, matrices by model_parallel), T those of them that are trained (LoRA: the adapters), t = batch x seq.

- weights: P x bytes of param_init_type. The parallel optimizer of MindSpore shards what is trained over data_parallel.
- working weights: what the matrices are multiplied with, in compute_dtype. Gathered from all ranks of data_parallel
  before the forward pass and kept for the backward pass (`parallel_optimizer_comm_recompute: False`); without sharding
  a copy only where the types differ, with recomputation that of one layer and of the tables.
- gradients: T x bytes of param_init_type, sharded as the weights. Summed up over micro batches they are kept whole,
  unless gradient_accumulation_shard is set.
- optimizer: two moments in float32 for each of T (`clone_state` of MindFormers' FP32StateAdamWeightDecay and AdamW).
  There is no third copy of the weights: param_init_type is what is updated.
- activations: what the backward pass reads of each layer, counted by tensor from MindFormers' LlamaDecodeLayer (see
  `_layer_bytes`), in the manner of Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models".
  The first stage of a pipeline holds min(pipeline_stage, micro_batch_num) micro batches at a time (1F1B). With
  recomputation only the input of a layer is kept.
- experts: a device has num_experts / expert_parallel of each layer; the parallel optimizer shards them over the ranks
  that have the same ones. A token is kept once for each expert that it goes to.
- loss: logits in compute_dtype, in float32, and their gradient. A recomputed layer takes its place afterwards.
- buffers: attention mask, workspaces of operators and what the memory pool loses to fragments.

HCCL and the driver take theirs beside the memory pool: compare with `max_device_memory`, not with all of the HBM.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Optional

Verdict = Literal["fits", "tight", "does not fit"]
GIB = 2**30
TIGHT_FROM = 0.9  # share of the limit: fragments of the pool are not known to a tenth
POOL_SHARE = 58 / 64  # MindFormers' own files give 58 of 64 GB to the memory pool
WORKSPACE = GIB


@dataclass(frozen=True)
class Workload:
    """One training as its YAML has it; types in bytes, `batch_size` in rows of a micro batch on a rank."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    seq_length: int
    batch_size: int = 1
    tied: bool = False
    gated: bool = True  # the feed-forward has three matrices, not two
    head_dim: int = 0  # 0: hidden_size / num_heads
    qk_norms: bool = False  # queries and keys are normalised, head by head (Qwen3)
    data_parallel: int = 1
    model_parallel: int = 1
    pipeline_stage: int = 1
    micro_batch_num: int = 1  # of a pipeline
    accumulation: int = 1  # gradient_accumulation_steps, without a pipeline
    sequence_parallel: bool = False  # use_seq_parallel
    parallel_optimizer: bool = False
    gradient_accumulation_shard: bool = False
    recompute: bool = False
    select_recompute: int = 0  # layers of the first stage whose activation function alone is recomputed
    vocab_emb_dp: bool = False  # every rank of model_parallel has the whole embedding
    param_bytes: int = 4
    compute_bytes: int = 2
    softmax_bytes: int = 4
    flash_attention: bool = True
    lora_rank: int = 0  # 0: all parameters are trained
    lora_targets: tuple[str, ...] = ("wq", "wk", "wv", "wo")
    num_experts: int = 0  # of a layer; 0: one feed-forward for all tokens
    expert_intermediate: int = 0
    experts_per_token: int = 0
    expert_parallel: int = 1

    @property
    def head_sizes(self) -> tuple[int, int]:
        """What the queries of all heads make for a token, and what the keys do."""
        head = self.head_dim or self.hidden_size // self.num_heads
        return head * self.num_heads, head * self.num_kv_heads

    @property
    def feed_forward(self) -> int:
        """Inner numbers of the feed-forward for a token, of all experts that it goes to."""
        return self.experts_per_token * self.expert_intermediate if self.num_experts else self.intermediate_size

    @property
    def expert_parameters(self) -> int:
        """Of all experts of a layer."""
        return self.num_experts * 3 * self.hidden_size * self.expert_intermediate

    @property
    def tokens_per_step(self) -> int:
        """Of all ranks, for one optimizer step (MindFormers' global_batch_size x seq_length)."""
        batches = self.micro_batch_num if self.pipeline_stage > 1 else self.accumulation
        return self.batch_size * self.data_parallel * batches * self.seq_length


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device that needs most, by part."""

    weights: int
    working_weights: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    buffers: int

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Name and bytes of each part, in the order of the module's text."""
        return tuple((item.name.replace("_", " "), int(getattr(self, item.name))) for item in fields(self))

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(size for _, size in self.parts)

    def verdict(self, limit: int) -> Verdict:
        """Whether that fits into a memory pool of `limit` bytes."""
        if self.total > limit:
            return "does not fit"
        return "tight" if self.total > TIGHT_FROM * limit else "fits"


def pool_bytes(device_memory_gb: float) -> int:
    """What MindSpore may take of a device of so many GB (2**30 bytes, as `max_device_memory` counts)."""
    return int(device_memory_gb * POOL_SHARE * GIB)


def matrix_shapes(work: Workload) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each matrix of a layer, under MindFormers' names; without those of experts."""
    hidden, inner = work.hidden_size, work.intermediate_size
    query, kv = work.head_sizes
    attention = {"wq": (hidden, query), "wk": (hidden, kv), "wv": (hidden, kv), "wo": (query, hidden)}
    if work.num_experts:
        return {**attention, "router": (hidden, work.num_experts)}
    gate = {"w3": (hidden, inner)} if work.gated else {}
    return {**attention, "w1": (hidden, inner), "w2": (inner, hidden), **gate}


def count_parameters(work: Workload) -> int:
    """Parameters of the whole model, without adapters."""
    layer = sum(inputs * outputs for inputs, outputs in matrix_shapes(work).values()) + 2 * work.hidden_size
    layer += work.expert_parameters
    tables = work.vocab_size * work.hidden_size * (1 if work.tied else 2)
    return work.num_layers * layer + tables + work.hidden_size


def estimate_memory(work: Workload) -> MemoryEstimate:
    """Bytes by part; that of the stage (first or last of the pipeline) which needs most. Raises ValueError."""
    counts = (work.data_parallel, work.model_parallel, work.pipeline_stage, work.batch_size, work.seq_length)
    if min(counts) < 1 or min(work.num_layers, work.num_heads, work.num_kv_heads) < 1:
        raise ValueError("a training needs positive numbers")
    stages = [_estimate_stage(work, first=True, last=work.pipeline_stage == 1)]
    if work.pipeline_stage > 1:
        stages.append(_estimate_stage(work, first=False, last=True))
    return max(stages, key=lambda stage: stage.total)


def _estimate_stage(work: Workload, *, first: bool, last: bool) -> MemoryEstimate:
    layers = -(-work.num_layers // work.pipeline_stage)
    held = _stage_parameters(work, layers, first=first, last=last)
    one_layer = sum(group.count for group in _stage_parameters(work, 1, first=first, last=last))
    trained = [group for group in held if group.trained]
    summed_up = work.pipeline_stage > 1 or work.accumulation > 1
    whole_gradients = summed_up and not work.gradient_accumulation_shard
    loss = _loss_bytes(work) if last else 0
    activations = _activation_bytes(work, layers, first=first)
    if work.recompute:
        loss = max(loss, _layer_bytes(work))
    mask = work.batch_size * work.seq_length**2 * (1 if work.flash_attention else work.compute_bytes)
    return MemoryEstimate(
        weights=sum(group.count * work.param_bytes // group.shards for group in held),
        working_weights=_working_weights(work, held, one_layer),
        gradients=sum(g.count * work.param_bytes // (1 if whole_gradients else g.shards) for g in trained),
        optimizer=sum(group.count * 8 // group.shards for group in trained),
        activations=activations,
        loss=loss,
        buffers=WORKSPACE + mask,
    )


@dataclass(frozen=True)
class _Group:
    """Parameters of a stage on one device, of which the optimizer shards what is trained."""

    count: int
    trained: bool
    shards: int = 1


def _stage_parameters(work: Workload, layers: int, *, first: bool, last: bool) -> list[_Group]:
    parallel, ranks = work.model_parallel, work.data_parallel if work.parallel_optimizer else 1
    shapes = matrix_shapes(work)
    layer = sum(inputs * outputs for inputs, outputs in shapes.values()) // parallel + 2 * work.hidden_size
    table = work.vocab_size * work.hidden_size
    base = layers * layer
    if first:
        base += table // (1 if work.vocab_emb_dp else parallel)
    if last:
        # a tied table is there already where one stage is first and last
        base += work.hidden_size + (0 if work.tied and first else table // parallel)
    experts = layers * work.expert_parameters // work.expert_parallel
    if not work.lora_rank:
        same_experts = max(1, work.data_parallel * parallel // work.expert_parallel) if work.parallel_optimizer else 1
        return [_Group(base, True, ranks), _Group(experts, True, same_experts)]
    # of the two matrices of an adapter one is sharded over model_parallel, the other whole on every rank
    adapters = sum(sum(shapes[name]) * work.lora_rank for name in work.lora_targets if name in shapes)
    return [_Group(base + experts, False), _Group(layers * adapters, True, ranks)]


def _working_weights(work: Workload, held: list[_Group], one_layer: int) -> int:
    """The matrices as they are multiplied: gathered, or cast, or (same type and not sharded) the weights themselves."""
    cast = 0
    if work.compute_bytes != work.param_bytes:
        cast = one_layer if work.recompute else sum(group.count for group in held)
    return max(cast, sum(group.count for group in held if group.shards > 1)) * work.compute_bytes


def _activation_bytes(work: Workload, layers: int, *, first: bool) -> int:
    """What waits for the backward pass, of all micro batches that are under way."""
    under_way = min(work.pipeline_stage, work.micro_batch_num) if first else 1
    if work.recompute:
        # recompute_slice_activation: each rank of model_parallel keeps its part of a layer's input
        kept = work.batch_size * work.seq_length * work.hidden_size * work.compute_bytes // work.model_parallel
        return under_way * layers * kept
    selected = min(layers, work.select_recompute) if first else 0
    whole = _layer_bytes(work)
    spared = 2 * work.compute_bytes * work.batch_size * work.seq_length * work.feed_forward // work.model_parallel
    return under_way * (layers * whole - selected * spared)


def _layer_bytes(work: Workload) -> int:
    """What the backward pass reads of one layer.

    The input of each norm in float32 (layernorm_compute_type), its output where a trained matrix takes it, the three of
    attention after rotation, its result with two float32 numbers in rows of 8 for each head and token (flash attention)
    or else the scores, and of the feed-forward both branches, the activated one and their product. Frozen matrices need
    no input for their backward pass; an adapter keeps its own after dropout, with a mask of one bit a number.
    """
    tokens = work.batch_size * work.seq_length
    size, hidden, inner = work.compute_bytes, work.hidden_size, work.feed_forward
    query, kv = work.head_sizes
    whole = 2 * 4 * hidden  # inputs of both norms
    split = (query + 2 * kv) * size + query * size + 3 * inner * size
    if work.qk_norms:
        split += 4 * (query + kv)
    if work.num_experts:  # what is sent to the experts and what comes back, and two tables of the router
        split += 2 * work.experts_per_token * hidden * size + 8 * work.num_experts
    if work.lora_rank:
        for name in work.lora_targets:
            inputs = matrix_shapes(work)[name][0] if name in matrix_shapes(work) else 0
            whole += inputs * size + inputs // 8
    else:
        whole += 2 * hidden * size  # outputs of both norms
        split += inner * size
    if work.flash_attention:
        split += work.num_heads * 2 * 8 * 4
    else:
        split += work.num_heads * work.seq_length * (work.softmax_bytes + size)
    norms = whole // work.model_parallel if work.sequence_parallel else whole
    return tokens * (norms + split // work.model_parallel)


def _loss_bytes(work: Workload) -> int:
    numbers = work.batch_size * work.seq_length * work.vocab_size // work.model_parallel
    return numbers * (work.compute_bytes + 4 + 4)


def known_limit(max_device_memory: str) -> Optional[int]:
    """Bytes of MindFormers' `max_device_memory` ("58GB"), or None for what it does not take."""
    number = max_device_memory.strip().upper()
    try:
        return int(float(number[:-2]) * GIB) if number.endswith("GB") else None
    except ValueError:
        return None
