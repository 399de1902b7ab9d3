"""Turns plain text into rows of equal length, as MindFormers llama_preprocess does for `--dataset_type wiki`."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List, Tuple

from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PARAGRAPHS = 256

# The rules by which WikiText is put back into ordinary writing (Megatron-LM's wikitext detokenizer, which
# MindFormers uses as well). Order matters: a rule sees what the ones above it left. The oddities are theirs.
_REPLACE_FIRST: Tuple[Tuple[str, str], ...] = (("s '", "s'"),)
_PATTERN_FIRST: Tuple[Tuple[str, str], ...] = ((r"/' [0-9]/", r"/'[0-9]/"),)
_REPLACE_JOINED: Tuple[Tuple[str, str], ...] = (
    *((f" @{mark}@ ", mark) for mark in "-,."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
)
_PATTERN_PAIRS: Tuple[Tuple[str, str], ...] = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r'"\s*([^"]*?)\s*"', r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
)
_REPLACE_LAST: Tuple[Tuple[str, str], ...] = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" \u00b0 ", "\u00b0"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def clean_wikitext(text: str) -> str:
    """Undo the spacing of WikiText. Pairs of quotes are matched across paragraphs, so this needs the whole text."""
    for old, new in _REPLACE_FIRST:
        text = text.replace(old, new)
    for pattern, new in _PATTERN_FIRST:
        text = re.sub(pattern, new, text)
    for old, new in _REPLACE_JOINED:
        text = text.replace(old, new)
    for pattern, new in _PATTERN_PAIRS:
        text = re.sub(pattern, new, text)
    for old, new in _REPLACE_LAST:
        text = text.replace(old, new)
    return text


def read_paragraphs(path: Path) -> Iterator[str]:
    """Yield the cleaned paragraphs of a text file, headings ("= Title =") left out; holds the text in memory.

    Raises InvalidInputError for a file that cannot be read or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not valid UTF-8: byte {error.start}.", "Save it as UTF-8.") from error
    except OSError as error:
        raise InvalidInputError(f"{path} could not be read: {error.strerror or error}.", "Check the path.") from error
    for paragraph in clean_wikitext(text).split("\n\n"):
        if paragraph and not paragraph.strip().startswith("="):
            yield paragraph


def encode_wiki(path: Path, tokenizer: Tokenizer, length: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield rows of int32 ids, (length,): every paragraph between bos and eos, one after the other.

    What does not fill a last row is left out, as in MindFormers llama_preprocess.
    """
    import numpy as np

    bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    waiting: List[int] = []
    source = read_paragraphs(path)
    while True:
        batch = list(islice(source, _PARAGRAPHS))
        if not batch:
            return
        for body in tokenizer.encode_many(batch):
            waiting += [*bos, *body, tokenizer.eos_id]
        full = len(waiting) - len(waiting) % length
        for start in range(0, full, length):
            yield np.array(waiting[start : start + length], dtype=np.int32)
        del waiting[:full]
