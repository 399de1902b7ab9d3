"""Loads a sentencepiece tokenizer and encodes text as MindFormers' LlamaTokenizer does."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

from sft_tui.dataset.json_stream import LFS_POINTER
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
# sentencepiece splits a batch over this many threads at most; a node with 192 cores gains nothing from more.
_MAX_THREADS = 8
_SPECIAL = re.compile(f"({re.escape(BOS)}|{re.escape(EOS)}|{re.escape(UNK)})")
_MODEL_HINT = "Give the tokenizer.model (sentencepiece) that belongs to the checkpoint."


class Tokenizer:
    """A Llama tokenizer: sentencepiece, and the three special tokens recognised where they stand in a text.

    Padding is the unknown token, as in MindFormers LlamaTokenizer.
    """

    def __init__(self, path: Path, processor: SentencePieceProcessor) -> None:
        self.path = path
        self._processor: Any = processor
        self.vocab_size: int = self._processor.get_piece_size()
        self.unk_id: int = self._processor.unk_id()
        self.bos_id = self._special_id(BOS)
        self.eos_id = self._special_id(EOS)
        self.pad_id = self.unk_id
        self._special_ids = {BOS: self.bos_id, EOS: self.eos_id, UNK: self.unk_id}

    def _special_id(self, piece: str) -> int:
        number: int = self._processor.piece_to_id(piece)
        if number == self.unk_id:
            raise InvalidInputError(f"{self.path} has no piece `{piece}`: not a Llama tokenizer.", _MODEL_HINT)
        return number

    def encode(self, text: str) -> List[int]:
        """The ids of one text, without bos and eos of its own."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> List[List[int]]:
        """The ids of each text, without bos and eos; one call for many texts uses several cores.

        A special token written out in a text becomes its id, and what stands between two of them is encoded as a
        text of its own, with a leading space of its own (the "legacy" behaviour of MindFormers LlamaTokenizer).
        """
        pieces = [[text] if "<" not in text else [part for part in _SPECIAL.split(text) if part] for text in texts]
        plain = [part for parts in pieces for part in parts if part not in self._special_ids]
        threads = min(os.cpu_count() or 1, _MAX_THREADS) if len(plain) > 1 else 1
        encoded = iter(self._processor.encode(plain, out_type=int, num_threads=threads) if plain else [])
        rows: List[List[int]] = []
        for parts in pieces:
            if len(parts) == 1 and parts[0] not in self._special_ids:
                rows.append(next(encoded))
                continue
            row: List[int] = []
            for part in parts:
                number: Optional[int] = self._special_ids.get(part)
                row.extend(next(encoded) if number is None else [number])
            rows.append(row)
        return rows


def load_tokenizer(model_file: Path) -> Tokenizer:
    """Load a sentencepiece model; raises InvalidInputError that says what the file is instead."""
    check_tokenizer_file(model_file)
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(model_file))
    except (RuntimeError, OSError) as error:
        raise InvalidInputError(f"{model_file} is not a sentencepiece model.", _MODEL_HINT) from error
    return Tokenizer(model_file, processor)


def inspect_tokenizer(model_file: Path) -> int:
    """The vocabulary size of a tokenizer; raises InvalidInputError like `load_tokenizer`."""
    return load_tokenizer(model_file).vocab_size


def check_tokenizer_file(model_file: Path) -> None:
    """Raise InvalidInputError for a file that cannot be a sentencepiece model, without loading sentencepiece."""
    try:
        with model_file.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError as error:
        raise InvalidInputError(f"{model_file} does not exist.", _MODEL_HINT) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInputError(f"{model_file} could not be read: {reason}.", _MODEL_HINT) from error
    if not head:
        raise InvalidInputError(f"{model_file} is empty.", _MODEL_HINT)
    if head.startswith(LFS_POINTER):
        raise InvalidInputError(
            f"{model_file} is a Git LFS pointer, not the tokenizer itself.", "Fetch the file with `git lfs pull`."
        )
    if head.lstrip().startswith(b"{"):
        raise InvalidInputError(f"{model_file} is JSON (a tokenizer.json?), not a sentencepiece model.", _MODEL_HINT)
