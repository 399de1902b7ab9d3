"""Which records are held out for evaluation: evenly spread, and the same at every run."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOut:
    """`count` of `total` records. Each of as many stretches of the file gives one: its middle, with a seed any."""

    total: int
    count: int
    seed: int = 0

    def has(self, index: int) -> bool:
        """Whether record `index`, from 0, is held out."""
        if not self.count:
            return False
        if not self.seed:
            half = self.total // 2
            return ((index + 1) * self.count + half) // self.total > (index * self.count + half) // self.total
        stretch = index * self.count // self.total
        begin, end = (-(-part * self.total // self.count) for part in (stretch, stretch + 1))
        return index - begin == zlib.crc32(f"{self.seed} {stretch}".encode()) % (end - begin)


def count_held_out(total: int, fraction: float) -> int:
    """How many of `total` records `convert_alpaca` holds out: at least one, never all; 0 of fewer than two."""
    if fraction <= 0.0 or total < 2:
        return 0
    return min(max(1, round(total * fraction)), total - 1)
