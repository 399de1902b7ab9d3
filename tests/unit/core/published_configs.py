"""Configurations that MindFormers publishes for devices of 64 GB, as data: sizes, layout and `max_device_memory`.

From the YAML files named; those of Llama 2 have their speed in MindFormers' docs/model_cards/llama2.md of 1.2.
"""

from __future__ import annotations

from sft_tui.core.memory.estimate import Workload

LLAMA2_7B = {
    "hidden_size": 4096,
    "num_layers": 32,
    "num_heads": 32,
    "num_kv_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "seq_length": 4096,
}
LLAMA2_13B = {
    "hidden_size": 5120,
    "num_layers": 40,
    "num_heads": 40,
    "num_kv_heads": 40,
    "intermediate_size": 13824,
    "vocab_size": 32000,
    "seq_length": 4096,
}
LLAMA2_70B = {
    "hidden_size": 8192,
    "num_layers": 80,
    "num_heads": 64,
    "num_kv_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 32000,
    "seq_length": 4096,
}
LLAMA3_8B = {
    "hidden_size": 4096,
    "num_layers": 32,
    "num_heads": 32,
    "num_kv_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "seq_length": 8192,
}
LLAMA3_70B = dict(LLAMA2_70B, vocab_size=128256, seq_length=8192)
CODELLAMA_34B = {
    "hidden_size": 8192,
    "num_layers": 48,
    "num_heads": 64,
    "num_kv_heads": 8,
    "intermediate_size": 22016,
    "vocab_size": 32000,
    "seq_length": 4096,
}
QWEN3_32B = {
    "hidden_size": 5120,
    "num_layers": 64,
    "num_heads": 64,
    "num_kv_heads": 8,
    "head_dim": 128,
    "intermediate_size": 25600,
    "vocab_size": 151936,
    "seq_length": 4096,
    "qk_norms": True,
}
QWEN3_0_6B = {
    **QWEN3_32B,
    "hidden_size": 1024,
    "num_layers": 28,
    "num_heads": 16,
    "intermediate_size": 3072,
    "tied": True,
}
QWEN3_30B_A3B = {
    **QWEN3_32B,
    "hidden_size": 2048,
    "num_layers": 48,
    "num_heads": 32,
    "num_kv_heads": 4,
    "intermediate_size": 6144,
    "num_experts": 128,
    "expert_intermediate": 768,
    "experts_per_token": 8,
}
QWEN1_5_7B = dict(LLAMA2_7B, vocab_size=151936)
QWEN1_5_14B = dict(LLAMA2_13B, vocab_size=152064, intermediate_size=13696)
DEEPSEEK_33B = {
    "hidden_size": 7168,
    "num_layers": 62,
    "num_heads": 56,
    "num_kv_heads": 8,
    "intermediate_size": 19200,
    "vocab_size": 32256,
    "seq_length": 4096,
}

EIGHT = {"data_parallel": 8, "parallel_optimizer": True, "vocab_emb_dp": True}
HALF = {"param_bytes": 2, "softmax_bytes": 2}


def _pipeline(dp: int, mp: int, pp: int, micro: int) -> dict[str, object]:
    return {
        "data_parallel": dp,
        "model_parallel": mp,
        "pipeline_stage": pp,
        "micro_batch_num": micro,
        "sequence_parallel": True,
        "parallel_optimizer": True,
    }


# file at the tag of MindFormers -> training, max_device_memory in GB
PUBLISHED: dict[str, tuple[Workload, float]] = {
    "1.2 configs/llama2/finetune_llama2_7b.yaml": (Workload(**LLAMA2_7B, **EIGHT, softmax_bytes=2), 58),
    "1.2 configs/llama2/finetune_llama2_7b_bf16.yaml": (Workload(**LLAMA2_7B, **EIGHT, **HALF, accumulation=8), 57),
    "1.2 configs/llama2/finetune_llama2_13b.yaml": (
        Workload(**LLAMA2_13B, **EIGHT, **HALF, batch_size=4, recompute=True),
        58,
    ),
    "1.2 configs/llama2/finetune_llama2_13b_bf16.yaml": (
        Workload(**LLAMA2_13B, **EIGHT, **HALF, batch_size=4, recompute=True),
        59,
    ),
    "1.2 configs/llama2/finetune_llama2_70b.yaml": (Workload(**LLAMA2_70B, **HALF, **_pipeline(2, 4, 8, 128)), 54),
    "1.2 configs/llama2/finetune_llama2_70b_bf16_32p.yaml": (
        Workload(**LLAMA2_70B, **HALF, **_pipeline(1, 4, 8, 256), select_recompute=8),
        53,
    ),
    "1.2 configs/llama2/finetune_llama2_70b_bf16_64p.yaml": (
        Workload(**LLAMA2_70B, **HALF, **_pipeline(2, 4, 8, 256), select_recompute=10),
        52,
    ),
    "1.2 configs/llama2/lora_llama2_7b.yaml": (
        Workload(**LLAMA2_7B, **HALF, data_parallel=8, vocab_emb_dp=True, batch_size=2, lora_rank=16),
        58,
    ),
    "1.2 configs/llama2/lora_llama2_13b.yaml": (
        Workload(**LLAMA2_13B, **HALF, **EIGHT, batch_size=4, recompute=True, lora_rank=8, lora_targets=("wq", "wv")),
        58,
    ),
    "1.3 research/llama3/finetune_llama3_8b_8k_800T_A2_64G.yaml": (
        Workload(**LLAMA3_8B, **EIGHT, param_bytes=2, recompute=True),
        58,
    ),
    "1.3 research/llama3_1/finetune_llama3_1_70b.yaml": (
        Workload(**LLAMA3_70B, **_pipeline(1, 8, 8, 256), select_recompute=10),
        52.5,
    ),
    "1.3 research/qwen1_5/finetune_qwen1_5_7b.yaml": (
        Workload(**QWEN1_5_7B, **EIGHT, softmax_bytes=2, sequence_parallel=True, recompute=True),
        55,
    ),
    "1.3 research/qwen1_5/finetune_qwen1_5_14b.yaml": (Workload(**QWEN1_5_14B, **_pipeline(1, 2, 4, 128)), 57),
    "1.3 configs/codellama/finetune_codellama_34b_16p.yaml": (
        Workload(**CODELLAMA_34B, **HALF, **_pipeline(1, 8, 2, 128)),
        55,
    ),
    "1.3 configs/codellama/finetune_codellama_34b_32p.yaml": (
        Workload(**CODELLAMA_34B, **HALF, **_pipeline(2, 4, 4, 128)),
        56,
    ),
    "1.7 configs/qwen3/finetune_qwen3.yaml": (
        Workload(
            **QWEN3_32B, model_parallel=4, pipeline_stage=4, micro_batch_num=4, sequence_parallel=True, recompute=True
        ),
        58,
    ),
    "1.7 configs/qwen3/pretrain_qwen3_32b_4k.yaml": (
        Workload(**QWEN3_32B, model_parallel=4, pipeline_stage=4, micro_batch_num=4, recompute=True),
        58,
    ),
    "1.7 configs/qwen3_moe/pretrain_qwen3_30b_a3b_4k.yaml": (
        Workload(
            **QWEN3_30B_A3B,
            model_parallel=4,
            pipeline_stage=4,
            micro_batch_num=16,
            expert_parallel=4,
            sequence_parallel=True,
            recompute=True,
            vocab_emb_dp=True,
        ),
        58,
    ),
    "1.3 research/deepseek/finetune_deepseek_33b.yaml": (
        Workload(**DEEPSEEK_33B, **{**_pipeline(1, 8, 2, 128), "parallel_optimizer": False}),
        57,
    ),
}

# what nobody runs on 64 GB: the reason is the name
TOO_LARGE: dict[str, Workload] = {
    "7B in float32 with all of Adam on one device": Workload(**LLAMA2_7B, recompute=True),
    "7B with half weights, not sharded, on one device": Workload(**LLAMA2_7B, **HALF, recompute=True),
    "7B on eight devices that shard nothing": Workload(**LLAMA2_7B, data_parallel=8, recompute=True),
    "13B in float32, batch 4, nothing recomputed": Workload(**LLAMA2_13B, **EIGHT, batch_size=4),
    "70B on one node": Workload(**LLAMA2_70B, **HALF, **EIGHT, recompute=True),
    "7B at 4096 tokens without flash attention, nothing recomputed": Workload(
        **LLAMA2_7B, **EIGHT, flash_attention=False
    ),
}
