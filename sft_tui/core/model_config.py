"""What is known of a model, in the words of its Hugging Face config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple


@dataclass(frozen=True)
class LowRankAttention:
    """Sizes of DeepSeek's attention: the ranks, and of a head what is not rotated, what is, and its values."""

    q_rank: int
    kv_rank: int
    not_rotated: int
    rotated: int
    value: int


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint's config.json says, in the words of Hugging Face, defaults filled in.

    `head_dim` is hidden_size / num_attention_heads in families that have no field for it; `num_experts` is 0 in dense
    models; `qk_norms`: queries and keys are normalised, head by head.
    """

    family: str
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: Optional[Dict[str, object]]
    tied: bool
    torch_dtype: str
    bos_token_id: Optional[int]
    eos_token_id: Optional[int]
    pad_token_id: Optional[int]
    architectures: Tuple[str, ...]
    head_dim: int = 0
    attention_bias: bool = False
    num_experts: int = 0
    moe_intermediate_size: int = 0
    experts_per_token: int = 0
    qk_norms: bool = False
    low_rank: Optional[LowRankAttention] = None
    dense_layers: int = 0  # the first ones, without experts
    shared_experts: int = 0  # that every token goes to
    layers_ahead: int = 0  # beside num_layers: they predict tokens further ahead
    dropout: float = 0.0  # the shares that training leaves out at random: of what a block adds,
    attention_dropout: float = 0.0  # of attention,
    embedding_dropout: float = 0.0  # of the embeddings
