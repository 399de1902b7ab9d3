"""Small `.ckpt` files of MindSpore with chosen names and shapes; all values are zero."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, Optional, Tuple

from sft_tui.checkpoint.formats.ckpt_read import TYPE_BYTES
from sft_tui.checkpoint.formats.ckpt_write import encode_value_header

Shapes = Dict[str, Tuple[int, ...]]


def llama_shapes(layers=2, hidden=64, kv=32, intermediate=176, vocab=1024) -> Shapes:
    """Of MindFormers' Llama."""
    shapes: Shapes = {"model.tok_embeddings.embedding_weight": (vocab, hidden)}
    for layer in range(layers):
        place = f"model.layers.{layer}."
        for name, shape in (
            ("attention.wq", (hidden, hidden)),
            ("attention.wk", (kv, hidden)),
            ("attention.wv", (kv, hidden)),
            ("attention.wo", (hidden, hidden)),
            ("feed_forward.w1", (intermediate, hidden)),
            ("feed_forward.w3", (intermediate, hidden)),
            ("feed_forward.w2", (hidden, intermediate)),
            ("attention_norm", (hidden,)),
            ("ffn_norm", (hidden,)),
        ):
            shapes[f"{place}{name}.weight"] = shape
    shapes["model.norm_out.weight"] = (hidden,)
    shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def write_ckpt(path: Path, shapes: Shapes, types: Optional[Dict[str, str]] = None) -> Path:
    """Write it, Float32 but where `types` says otherwise. Large tensors take no room on disk."""
    with path.open("wb") as file:
        for name, dims in shapes.items():
            kind = (types or {}).get(name, "Float32")
            nbytes = math.prod(dims) * TYPE_BYTES[kind]
            file.write(encode_value_header(name, dims, kind, nbytes))
            file.seek(nbytes, 1)
        file.truncate(file.tell())
    return path


def without(shapes: Shapes, *words: str) -> Shapes:
    """Without the names that have one of the words in them."""
    return {name: dims for name, dims in shapes.items() if not any(word in name for word in words)}


def of_one_rank(shapes: Shapes, parts: int) -> Shapes:
    """As one rank of a tensor parallel training has them: two matrices of a layer are cut by columns."""
    sliced = dict(shapes)
    for name, dims in shapes.items():
        if len(dims) == 2 and "embedding" not in name:
            by_columns = name.endswith((".wo.weight", ".w2.weight"))
            sliced[name] = (dims[0], dims[1] // parts) if by_columns else (dims[0] // parts, dims[1])
    return sliced


# what tells of a model what its shapes do not
BASE = """\
model:
  model_config:
    type: LlamaConfig
    seq_length: 256
    hidden_size: 64
    num_layers: 2
    num_heads: 4
    n_kv_heads: 2
    vocab_size: 1024
    multiple_of: 16
    rms_norm_eps: 1.0e-6
    eos_token_id: 7
  arch:
    type: LlamaForCausalLM
"""
