"""Judges an output layer beside the embeddings that it should be tied to: a copy of them, or a layer of its own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Optional, Sequence, Tuple

from sft_tui.checkpoint.copy.copy_tensors import Cast, compare_values
from sft_tui.checkpoint.copy.precision import SOURCE_TYPES
from sft_tui.checkpoint.copy.tensor_values import whole_values
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.core.model_config import ModelConfig
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Family
from sft_tui.families.table import KEY_MAPS

UNTIE_HINT = "If the model has this output layer, config.json has to say tie_word_embeddings: false; else remove it."


def head_source(family: Family) -> str:
    """The output layer's name in Hugging Face, also where MindFormers has none of its own (GPT-2)."""
    return next((rule.source for rule in family.last if rule.target == family.tied_target), "lm_head.weight")


def check_tied_head(folder: Path, config: ModelConfig, entries: Sequence[TensorEntry]) -> Tuple[str, str, bool]:
    """What there is to say of an output layer beside tied embeddings, what to do, and whether it forbids the use.

    ("", "", False) when there is nothing. Reads both where they may be equal. Raises InvalidInputError.
    """
    family = KEY_MAPS[config.family]
    head = _find(family, entries, head_source(family))
    if not config.tied or head is None:
        return "", "", False
    source = family.tied_source
    embeddings = _find(family, entries, source)
    message = f"{folder} ties its embeddings, and has {head.name} all the same"
    if embeddings is None:
        told = f"{folder} ties its embeddings, and has {head.name} alone; it is taken as {source}."
        return told, "Nothing is to be done.", family.direct
    if embeddings.shape != head.shape:
        return f"{message}, of another shape than {source}.", UNTIE_HINT, True
    if not {head.dtype, embeddings.dtype} <= set(SOURCE_TYPES):
        return f"{message}, stored as {head.dtype}.", "Take the model that is not quantized.", True
    try:
        equal = _are_equal(embeddings, head, (embeddings.file.stat().st_mtime_ns, head.file.stat().st_mtime_ns))
    except OSError as error:
        message = f"{head.file} could not be read: {error.strerror or error}."
        raise InvalidInputError(message, "Check your rights.") from error
    if equal:
        return f"{message}: it is equal to them, and not used.", "Nothing is to be done.", False
    return f"{message}, with other values, which would be lost.", UNTIE_HINT, True


def require_tied_head(folder: Path, config: ModelConfig, entries: Sequence[TensorEntry]) -> None:
    """Raise InvalidInputError for an output layer that would be lost."""
    message, hint, forbidden = check_tied_head(folder, config, entries)
    if forbidden:
        raise InvalidInputError(message, hint)


def _find(family: Family, entries: Sequence[TensorEntry], name: str) -> Optional[TensorEntry]:
    return next((entry for entry in entries if name and entry.name in (name, family.prefix + name)), None)


@functools.lru_cache(maxsize=8)
def _are_equal(one: TensorEntry, other: TensorEntry, _mtimes: Tuple[int, int]) -> bool:
    """Reading both anew at every look would take a disk's whole attention. Raises InvalidInputError."""
    # a copy may have been saved with more bits
    narrow, wide = sorted((one, other), key=lambda entry: entry.nbytes)
    cast = Cast(whole_values(narrow), SOURCE_TYPES[narrow.dtype], SOURCE_TYPES[wide.dtype])
    [(wrong, _)] = compare_values([cast], [whole_values(wide)])
    return wrong == 0
