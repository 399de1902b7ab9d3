"""Makes a small random Llama in Hugging Face layout, with a tokenizer trained on the spot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    import numpy.typing as npt

VOCAB_SIZE = 640
HIDDEN_SIZE = 64
INTERMEDIATE_SIZE = 176
LAYERS = 2
HEADS = 4
MAX_POSITIONS = 512
SHARDS = 2
SEED = 7


def write_toy_model(folder: Path, texts: list[str]) -> None:
    """Write config, weights in two shards with their index, and the tokenizer. The same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _config())
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _write_weights(folder)
    write_tokenizer(folder / "tokenizer.model", texts)


def write_tokenizer(path: Path, texts: list[str]) -> None:
    """Train a SentencePiece BPE model with the settings of Llama 2's tokenizer."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        character_coverage=0.99995,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        max_sentence_length=8192,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def _config() -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": INTERMEDIATE_SIZE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
    }


def _tensor_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCAB_SIZE, HIDDEN_SIZE)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{prefix}.self_attn.{name}.weight", (HIDDEN_SIZE, HIDDEN_SIZE)
        yield f"{prefix}.mlp.gate_proj.weight", (INTERMEDIATE_SIZE, HIDDEN_SIZE)
        yield f"{prefix}.mlp.up_proj.weight", (INTERMEDIATE_SIZE, HIDDEN_SIZE)
        yield f"{prefix}.mlp.down_proj.weight", (HIDDEN_SIZE, INTERMEDIATE_SIZE)
        yield f"{prefix}.input_layernorm.weight", (HIDDEN_SIZE,)
        yield f"{prefix}.post_attention_layernorm.weight", (HIDDEN_SIZE,)
    yield "model.norm.weight", (HIDDEN_SIZE,)
    yield "lm_head.weight", (VOCAB_SIZE, HIDDEN_SIZE)


def _write_weights(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(SEED)
    tensors: dict[str, npt.NDArray[np.float16]] = {}
    for name, shape in _tensor_shapes():
        values = np.ones(shape) if len(shape) == 1 else random.standard_normal(shape) * 0.02
        tensors[name] = values.astype(np.float16)
    names = list(tensors)
    per_shard = -(-len(names) // SHARDS)
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard * per_shard : (shard + 1) * per_shard]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    total = sum(array.nbytes for array in tensors.values())
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
