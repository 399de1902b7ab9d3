"""Sets how much of a dataset may be lost by default: shares, 0 to 1. Light, for the command line."""

from __future__ import annotations

from typing import Final

MAX_MASKED: Final = 0.05  # rows that teach nothing: more are refused
WARN_CUT: Final = 0.10  # rows that are cut: more are worth a warning
MAX_REJECTED: Final = 0.01  # records that cannot be used: more are a failure, where they are skipped at all
