"""Tells where each node's part of a job stands, as far as the head has heard. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Optional

from sft_tui.core.nodes import NodePart
from sft_tui.diagnosis.first_part import Failure


@dataclass
class PartState:
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
