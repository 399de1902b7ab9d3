"""Which of several nodes failed first, from what their parts of a job say. Pure.

The first failure is not the loudest: a killed worker comes before an error of its own, that before an error about
others, then time counts, by the head's clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence

from sft_tui.core.nodes import NodePart

# what healthy ranks say when another one is gone; it is as a rule louder than the cause
_OF_OTHERS = re.compile(
    r"time[d -]*out|timeout|connect|heartbeat|disconnect|unregister|peer|abnormal|socket|broken pipe|collective", re.I
)


@dataclass(frozen=True)
class Failure:
    """A part failed. `at`: by the head's clock; `worker`: the rank of the worker that died, or -1."""

    rank: int
    at: float
    reason: str
    worker: int = -1
    signal: str = ""

    @property
    def order(self) -> tuple[int, float]:
        """The first failure is the smallest: a killed worker before an error of its own before one about others."""
        if self.signal in ("SIGKILL", "SIGTERM", "SIGBUS"):
            return 0, self.at
        return (2 if _OF_OTHERS.search(self.reason) or self.signal else 1), self.at

    def describe(self, part: NodePart) -> str:
        """In one line."""
        who = f", rank {self.worker}," if self.worker >= 0 else ""
        return f"{part.name}{who} failed first: {self.reason}"


def first_failure(failures: Sequence[Failure]) -> Failure:
    """The one that the others follow from, as far as can be told."""
    return min(failures, key=lambda failure: failure.order)
