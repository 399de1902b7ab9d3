"""Says where the bytes of a tensor are in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

Stretch = Tuple[int, int]  # offset from the start of the file, and length, in bytes


@dataclass(frozen=True)
class Run:
    """A tensor's bytes in a file, as if its stretches stood together; `label` is its name there."""

    file: Path
    label: str
    stretches: Tuple[Stretch, ...]
