"""Trains a byte-level BPE on little text, so that a toy tokenizer.json needs no library and no network."""

from __future__ import annotations

import re
from collections import Counter
from typing import Sequence

# How a text is cut into words before merging: what GPT-2 and Qwen do, in the signs that Python's `re` and Rust's
# regular expressions share. Digits stand alone, as in Qwen's.
PATTERN = r" ?[^\W\d_]+|\d| ?[^\s\w]+[\r\n]*|_|\s+(?!\S)|\s+"


def byte_letters() -> list[str]:
    """The letter that stands for each of the 256 bytes (GPT-2's byte-level alphabet)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1), *range(ord("\u00ae"), 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def train_bpe(texts: Sequence[str], size: int) -> tuple[dict[str, int], list[str]]:
    """A vocabulary of `size` tokens, and the merges that make it ("a b"); smaller where the texts have no more in them.

    The most frequent pair first; of equals the first in the alphabet.
    """
    letters = byte_letters()
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    counted = Counter(word for text in texts for word in re.findall(PATTERN, text))
    words = [(tuple(letters[byte] for byte in word.encode()), count) for word, count in sorted(counted.items())]
    merges: list[str] = []
    while len(vocabulary) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for parts, count in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(" ".join(best))
        vocabulary["".join(best)] = len(vocabulary)
        words = [(_merge(parts, best), count) for parts, count in words]
    return vocabulary, merges


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    if pair[0] not in parts:
        return parts
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] = "".join(pair)
        else:
            merged.append(part)
    return tuple(merged)
