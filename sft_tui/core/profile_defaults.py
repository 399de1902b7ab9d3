"""Names and defaults of a profile, for those who must not wait for its models: the command line, the first paint."""

from __future__ import annotations

from typing import Final

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SECTIONS: tuple[str, ...] = ("environment", "model", "weights", "dataset", "training", "nodes")
CHAT_TEMPLATE: Final = "chat"  # the chat template in the model's folder
# how much of a dataset may be lost, unless somebody says otherwise: shares, 0 to 1
MAX_MASKED: Final = 0.05  # rows that teach nothing: more are refused
WARN_CUT: Final = 0.10  # rows that are cut: more are worth a warning
MAX_REJECTED: Final = 0.01  # records that cannot be used: more are a failure, where they are skipped at all
