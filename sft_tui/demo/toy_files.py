"""Writes the files of a toy model in Hugging Face layout without a library for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

from sft_tui.demo.toy_bpe import PATTERN

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def write_tokenizer_json(
    folder: Path,
    words: Mapping[str, int],
    merges: Sequence[str],
    added: Mapping[str, int],
    *,
    never_text: Collection[str],
    normalizer: Optional[dict[str, object]] = None,
) -> dict[str, dict[str, object]]:
    """Write tokenizer.json of a byte-level BPE, vocab.json and merges.txt; returns `added_tokens_decoder`.

    `added` are tokens that are never cut, with their ids; of them `never_text` are special.
    """
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    described = {
        str(number): {"content": text, **plain, "special": text in never_text} for text, number in added.items()
    }
    splitter = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": words, "merges": merges,
    }  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": int(number), **item} for number, item in described.items()],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [splitter, to_bytes]},
        "post_processor": to_bytes, "decoder": to_bytes, "model": model,
    }  # fmt: skip
    write_json(folder / "tokenizer.json", tokenizer)
    write_json(folder / "vocab.json", words)
    merged = "".join(f"{merge}\n" for merge in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merged}", encoding="utf-8")
    return described


def as_bytes(values: npt.NDArray[np.float32], dtype: str) -> bytes:
    """Values as a safetensors file has them; `dtype` is torch's word."""
    import numpy as np

    if dtype != "bfloat16":
        return values.astype({"float16": "<f2", "float32": "<f4"}[dtype]).tobytes()
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()  # round to nearest, ties to even


def write_safetensors(path: Path, tensors: Sequence[tuple[str, tuple[int, ...], bytes]], dtype: str) -> None:
    """The file as the library would write it; its numpy side knows no bfloat16."""
    word = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape, data in tensors:
        header[name] = {"dtype": word, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors))


def write_json(path: Path, value: object) -> None:
    """A file of JSON, for people as well."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
