"""Where each node's part stands, as far as the head has heard; and which of several failures was the first. Pure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

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


@dataclass
class Standing:
    """What is known of one part. `skew`: how far the node's clock is ahead of ours, in seconds."""

    part: NodePart
    skew: float = 0.0
    ranks: set[int] = field(default_factory=set)
    ended: bool = False
    waits: str = ""
    lost_since: str = ""
    _failed: bool = False

    def take(self, message: dict[str, Any]) -> Optional[Failure]:
        """Take over what was heard; a failure if that is what it is."""
        if "lost" in message:
            self.lost_since = self.lost_since or time.strftime("%H:%M:%S")
            return None
        self.lost_since = ""
        if "refused" in message:
            self.ended = True
            return self._fail(time.time() + self.skew, str(message["refused"]))
        self.ranks |= set(message.get("ranks", ()))
        if "died" in message:
            reason, worker = f"its worker was {message['died']}", int(message["rank"])
            if not message["signal"]:
                reason = str(message["died"])
            return self._fail(message["time"], reason, worker, message["signal"])
        if "state" in message:
            return self._take_state(message)
        return None

    def _take_state(self, message: dict[str, Any]) -> Optional[Failure]:
        lifecycle, reason = message["state"], str(message["reason"])
        self.waits = f"is queued there: {reason}" if lifecycle == "queued" and reason else ""
        self.ended = lifecycle == "finished"
        if not self.ended or message["outcome"] == "succeeded":
            return None
        if message["outcome"] == "stopped":
            reason = "its part was stopped there"
        return self._fail(message["time"] or time.time() + self.skew, reason or str(message["outcome"]))

    def _fail(self, at: float, reason: str, worker: int = -1, signal: str = "") -> Optional[Failure]:
        if self._failed:
            return None
        self._failed = True
        return Failure(self.part.rank, at - self.skew, reason, worker, signal)
