"""Loads a tokenizer, sentencepiece or Hugging Face, and says what the file is when it is neither."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional, Protocol, Sequence, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.files.regular_file import open_regular
from sft_tui.files.stand_in import HEAD_BYTES, check_stand_in
from sft_tui.files.tiktoken_file import begins_as_tiktoken, is_tiktoken

# sentencepiece splits a batch over this many threads at most; a node with 192 cores gains nothing from more.
_MAX_THREADS = 8
_FILES = ("tokenizer.model", "tokenizer.json")
_HINT = "Give the tokenizer.model (sentencepiece) or tokenizer.json that belongs to the checkpoint."


class Tokenizer(Protocol):
    """What encoding asks of a tokenizer. Ids of special tokens are below `vocab_size`.

    `adds_bos`: the tokenizer itself begins a text with bos. `special_tokens` become one id wherever they stand in
    a text.
    """

    path: Path
    vocab_size: int
    eos_id: int
    pad_id: int
    adds_bos: bool
    special_tokens: Dict[str, int]

    @property
    def bos_id(self) -> Optional[int]:
        """None for a model without one."""

    @property
    def unk_id(self) -> Optional[int]:
        """None for a model without one."""

    def encode(self, text: str) -> List[int]:
        """The ids of one text, without bos and eos of its own."""

    def encode_many(self, texts: Sequence[str]) -> List[List[int]]:
        """The ids of each text, without bos and eos of its own."""

    def encode_with_offsets(self, texts: Sequence[str]) -> List[Tuple[List[int], List[int]]]:
        """The ids of each text, and for each id the place in the text where it begins (in characters)."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are written out."""


def load_tokenizer(path: Path, *, threads: int = 0) -> Tokenizer:
    """Load tokenizer.model or tokenizer.json, or the one that a folder has (tokenizer.model, if it has both).

    `threads` is how many a batch is spread over; 0 means as many as there are cores, 8 at most. Raises
    InvalidInputError that says what the file is instead; EnvironmentNotFitError when the library for it is missing.
    """
    file = find_tokenizer(path)
    threads = threads or min(os.cpu_count() or 1, _MAX_THREADS)
    if _head(file).lstrip().startswith(b"{"):
        from sft_tui.dataset.tokenizer.hf import load_hf_tokenizer

        return load_hf_tokenizer(file, threads)
    from sft_tui.dataset.tokenizer.sentencepiece import load_sentencepiece

    return load_sentencepiece(file, threads)


def find_tokenizer(path: Path) -> Path:
    """The file itself, or the tokenizer in a folder; raises InvalidInputError when the folder has none.

    Where tokenizer.model is one of tiktoken, the tokenizer.json beside it, which says the same.
    """
    if not path.is_dir():
        better = path.with_name(_FILES[1])
        return better if path.name == _FILES[0] and is_tiktoken(path) and better.is_file() else path
    if is_tiktoken(path / _FILES[0]) and (path / _FILES[1]).is_file():
        return path / _FILES[1]
    found = next((path / name for name in _FILES if (path / name).is_file()), None)
    if found is None:
        raise InvalidInputError(f"{path} has neither {' nor '.join(_FILES)}.", _HINT)
    return found


def _head(file: Path) -> bytes:
    """The first bytes; raises InvalidInputError when there are none to speak of."""
    try:
        handle = open_regular(file)
        try:
            size, head = os.fstat(handle).st_size, os.read(handle, HEAD_BYTES)
        finally:
            os.close(handle)
    except FileNotFoundError as error:
        raise InvalidInputError(f"{file} does not exist.", _HINT) from error
    except OSError as error:
        raise InvalidInputError(f"{file} could not be read: {error.strerror or error}.", _HINT) from error
    if not head:
        raise InvalidInputError(f"{file} is empty.", _HINT)
    check_stand_in(file, head, "the tokenizer itself")
    if begins_as_tiktoken(head):
        raise InvalidInputError(
            f"{file} is a vocabulary of tiktoken, not of sentencepiece.",
            "Download the tokenizer.json of the same model into this folder.",
        )
    from sft_tui.dataset.tokenizer.hf import MAX_BYTES

    if size > MAX_BYTES:
        raise InvalidInputError(f"{file} has {size:,} bytes, too many for a tokenizer.", _HINT)
    return head
