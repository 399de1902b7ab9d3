"""Makes a small random GPT-2 in Hugging Face layout: config, weights, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Sequence

from sft_tui.demo.toy_bpe import train_bpe
from sft_tui.demo.toy_files import as_bytes, write_json, write_safetensors, write_tokenizer_json

VOCAB_SIZE = 640
MAX_POSITIONS = 512
END_TOKEN = "<|endoftext|>"  # noqa: S105 - bos, eos and padding in one


def write_toy_gpt2(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    vocab: int = VOCAB_SIZE,
    positions: int = MAX_POSITIONS,
    dropout: float = 0.0,
    seed: int = 0,
    texts: Sequence[str] = (),
) -> None:
    """Write a complete folder in float32; the same bytes every time.

    `texts` are what the tokenizer learns its words from; `vocab` is the number of embeddings, at least 257.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words, merges = train_bpe(texts, vocab - 1)
    end = len(words)
    described = write_tokenizer_json(folder, words, merges, {END_TOKEN: end}, never_text=[END_TOKEN])
    tokens = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_TOKEN)
    settings = {"add_prefix_space": False, "added_tokens_decoder": described, "model_max_length": positions}
    write_json(folder / "tokenizer_config.json", {**settings, **tokens, "tokenizer_class": "GPT2Tokenizer"})
    _write_weights(folder, _tensor_shapes(hidden, layers, end + 1, positions), seed)
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": dropout,
        "bos_token_id": end, "embd_pdrop": dropout, "eos_token_id": end, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": positions, "n_embd": hidden, "n_head": heads,
        "n_inner": None, "n_layer": layers, "n_positions": positions, "resid_pdrop": dropout,
        "torch_dtype": "float32", "vocab_size": end + 1,
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end})


def _tensor_shapes(hidden: int, layers: int, vocab: int, positions: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "wte.weight", (vocab, hidden)
    yield "wpe.weight", (positions, hidden)
    for layer in range(layers):
        for name, columns, rows in (
            ("attn.c_attn", 3 * hidden, hidden), ("attn.c_proj", hidden, hidden), ("mlp.c_fc", 4 * hidden, hidden),
            ("mlp.c_proj", hidden, 4 * hidden),
        ):  # fmt: skip
            yield f"h.{layer}.{name}.weight", (rows, columns)  # a Conv1D: a Linear turned around
            yield f"h.{layer}.{name}.bias", (columns,)
        for name in ("ln_1", "ln_2"):
            yield f"h.{layer}.{name}.weight", (hidden,)
            yield f"h.{layer}.{name}.bias", (hidden,)
    yield "ln_f.weight", (hidden,)
    yield "ln_f.bias", (hidden,)


def _write_weights(folder: Path, shapes: Iterator[tuple[str, tuple[int, ...]]], seed: int) -> None:
    import numpy as np

    random = np.random.default_rng(seed)
    tensors: list[tuple[str, tuple[int, ...], bytes]] = []
    for name, shape in shapes:
        # norms a little off one, biases a little off zero, so that a mix-up of two of them shows
        middle = 1.0 if ".ln_" in f".{name}" and name.endswith("weight") else 0.0
        values = (random.standard_normal(shape) * 0.02 + middle).astype(np.float32)
        tensors.append((name, shape, as_bytes(values, "float32")))
    write_safetensors(folder / "model.safetensors", tensors, "float32")
