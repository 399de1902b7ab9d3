"""Signs that a running training needs a look: told once when they begin and once when they are over. Pure.

`clock` is a time that nobody sets (monotonic), `at` seconds since the epoch, for people. The rules look only at what
came so far, and rather miss a weak sign than cry wolf: each has a least number of steps before it speaks.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Deque, Final, Optional

from sft_tui.core.terminal_text import short_duration, short_size
from sft_tui.metrics.points import LATEST, MetricPoint

# the worst first: where there is one line, it shows this one
KINDS: Final = (
    "loss_not_finite", "no_step", "disk", "overflow", "loss_spike", "slow_rank", "slow", "device_memory",
)  # fmt: skip

FINITE_AGAIN = 10  # steps with a finite loss in a row: NaN is over
SPIKE_HISTORY = 50  # losses that tell what is usual
SPIKE_LEAST = 20
# above both: usual + 8 times the usual spread, and usual x 1.5 (late in a training the spread is tiny) ...
SPIKE_SPREADS, SPIKE_RATIO = 8.0, 1.5
SPIKE_OF, SPIKE_HIGH = 5, 3  # ... in 3 of 5 steps: batches of few rows scatter widely, one strange row is no sign
SPIKE_SURE_SPREADS, SPIKE_SURE_RATIO = 20.0, 3.0  # above both, one step is enough
SPIKE_OVER = 10  # steps below that in a row
STALL_TIMES = 5.0
STALL_LEAST_SECONDS = 30.0  # toy steps of milliseconds: a pause of the data loader is no sign
STALL_SAVING_SECONDS = 900.0  # a checkpoint of a large model takes minutes on a shared disk
STALL_LEAST_STEPS = 5
OVERFLOWS = 8  # in a row: the scale was halved to 1/256 in vain; the first few of a training are as they should be
RANK_STEPS = 30
RANK_WAITING = 512  # steps that not all ranks have told yet
RANK_RATIO, RANK_OVER = 1.3, 1.15
RANK_LEAST_MS = 50.0  # less is the grain of the clock and of a toy model
SPEED_STEPS, SPEED_LEAST_MS = 20, 10_000.0  # a block: so many steps, and so long
SPEED_BLOCKS = 5  # blocks that tell what is usual
SPEED_RATIO, SPEED_OVER = 1.25, 1.15  # step time: 20 % less throughput is a quarter more time
SPEED_KEPT = 500
CHECKPOINTS_LEFT = 2  # of which at least so many must find room


@dataclass(frozen=True)
class WatchOut:
    """One sign: what it is, what to look at, since when (seconds since the epoch); `over`: no longer."""

    kind: str
    since: float
    text: str
    hint: str
    over: bool = False

    def as_data(self) -> dict[str, Any]:
        """What an event holds."""
        return asdict(self)

    def sentence(self, since: str) -> str:
        """For people: what, since when (in their time), and what to look at."""
        text = f"{self.text[:1].upper()}{self.text[1:]}, since {since}"
        return f"Over: {text}." if self.over else f"{text}. {self.hint}"


def read_watch_out(data: dict[str, Any]) -> Optional[WatchOut]:
    """The sign of an event; None for what a later version made of it."""
    kind, since = data.get("kind"), data.get("since")
    if not isinstance(kind, str) or not isinstance(since, (int, float)) or not 0 <= since <= LATEST:
        return None
    return WatchOut(kind, float(since), str(data.get("text", "")), str(data.get("hint", "")), data.get("over") is True)


def memory_not_released(text: str, at: float) -> WatchOut:
    """A stopped step has left memory of its NPUs in use, as `text` says."""
    hint = "npu-smi info shows which process holds it; a later training there may run out of memory."
    return WatchOut("device_memory", at, text, hint)


def severity(kind: str) -> int:
    """Smaller is worse."""
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


class WatchOuts:
    """The signs of one training."""

    def __init__(self) -> None:
        self._on: dict[str, WatchOut] = {}
        self._news: list[WatchOut] = []
        self._loss, self._stall, self._speed = _Losses(), _Stall(), _Speed()
        self._overflows = 0
        self._ranks = _Ranks()

    def news(self) -> list[WatchOut]:
        """What began or ended since the last call."""
        news, self._news = self._news, []
        return news

    def take_point(self, point: MetricPoint, clock: float) -> None:
        """A step of training was told."""
        self._stall.take(point, clock)
        self._clear("no_step")
        self._take_loss(point)
        self._overflows = self._overflows + 1 if point.overflow else 0
        if self._overflows >= OVERFLOWS:
            self._raise(
                "overflow", point.at, f"{self._overflows} steps in a row overflowed (step {point.step})",
                "They teach nothing: look at the gradient norm and the learning rate, or train in bfloat16.",
            )  # fmt: skip
        elif not point.overflow:
            self._clear("overflow")
        slower = self._speed.take(point)
        if slower is not None and slower > SPEED_RATIO:
            self._raise(
                "slow", point.at, f"steps take {100 * (slower - 1):.0f} % longer than usual (step {point.step})",
                "Look at the host's load, the temperature of the NPUs, and the disk that the data comes from.",
            )  # fmt: skip
        elif slower is not None and slower < SPEED_OVER:
            self._clear("slow")

    def _take_loss(self, point: MetricPoint) -> None:
        bad, high, calm = self._loss.take(point.loss)
        if bad:
            self._raise(
                "loss_not_finite", point.at, f"the loss is {point.loss} (step {point.step})",
                "Nothing is learned any more: stop, and go on from an earlier checkpoint with a smaller learning rate; "
                "look at the data of that step and at the gradient norm before it.",
            )  # fmt: skip
        if high:
            self._raise(
                "loss_spike", point.at,
                f"the loss rose to {point.loss:.3g} (step {point.step}), usual was {self._loss.usual:.3g}",
                "If it stays there, the learning rate is too high, or the data of those steps is strange: look at the "
                "gradient norm.",
            )  # fmt: skip
        if calm >= FINITE_AGAIN:
            self._clear("loss_not_finite")
        if self._loss.below >= SPIKE_OVER:
            self._clear("loss_spike")

    def take_rank(self, rank: int, step: int, per_step_ms: float, at: float) -> None:
        """A rank's time of one step; ranks may tell theirs one after the other."""
        found = self._ranks.take(rank, step, per_step_ms)
        if found is None:
            return
        slowest, theirs, others = found
        if theirs > max(RANK_RATIO * others, others + RANK_LEAST_MS):
            self._raise(
                "slow_rank", at, f"rank {slowest} takes {theirs:.0f} ms a step, the others {others:.0f} ms",
                "Look at its NPU (temperature, another process), and at the host that it runs on.",
            )  # fmt: skip
        elif theirs < max(RANK_OVER * others, others + RANK_LEAST_MS / 2):
            self._clear("slow_rank")

    def expect_ranks(self, count: int) -> None:
        """So many ranks tell their times."""
        self._ranks.expected = count

    def take_saving(self) -> None:
        """A checkpoint is being saved: the next step may take long."""
        self._stall.saving = True

    def take_disk(self, free: int, checkpoint: int, at: float) -> None:
        """Bytes free where the checkpoints go, and bytes of the newest one."""
        if checkpoint and free < CHECKPOINTS_LEFT * checkpoint:
            self._raise(
                "disk", at, f"{short_size(free)} are free for checkpoints of {short_size(checkpoint)}",
                "Make room before the next one is written, or it will be lost.",
            )  # fmt: skip
        elif checkpoint:
            self._clear("disk")

    def tick(self, clock: float, at: float) -> None:
        """Time has passed."""
        silent = self._stall.silent(clock)
        if silent is not None:
            self._raise(
                "no_step", at - silent, f"no step of training came after step {self._stall.step} "
                f"(usual: one in {short_duration(self._stall.usual)})",
                "Look at the end of the logs of all ranks, at the load of the NPUs and of the host, and at the disk.",
            )  # fmt: skip

    def end(self) -> None:
        """The step has ended: what only a running one has is over. A loss that was NaN to the end stays."""
        for kind in ("no_step", "overflow", "loss_spike", "slow_rank", "slow"):
            self._clear(kind)

    def _raise(self, kind: str, since: float, text: str, hint: str) -> None:
        if kind not in self._on:
            self._on[kind] = WatchOut(kind, since, text, hint)
            self._news.append(self._on[kind])

    def _clear(self, kind: str) -> None:
        sign = self._on.pop(kind, None)
        if sign is not None:
            self._news.append(WatchOut(sign.kind, sign.since, sign.text, sign.hint, over=True))


class _Losses:
    """What the loss usually is. While it is above that, what is usual stays as it was."""

    def __init__(self) -> None:
        self.usual = 0.0
        self.below = 0  # steps in a row that are no spike
        self._finite = 0  # steps in a row
        self._high: Deque[bool] = deque(maxlen=SPIKE_OF)
        self._history: Deque[float] = deque(maxlen=SPIKE_HISTORY)

    def take(self, loss: float) -> tuple[bool, bool, int]:
        """Whether it is not finite, whether it is a spike, and how many finite ones came in a row."""
        if not math.isfinite(loss):
            self._finite = 0
            return True, False, 0
        self._finite += 1
        high, sure = self._judge(loss)
        self.below = 0 if high else self.below + 1
        self._high.append(high)
        if not high:
            self._history.append(loss)
        return False, sure or (high and sum(self._high) >= SPIKE_HIGH), self._finite

    def _judge(self, loss: float) -> tuple[bool, bool]:
        """Whether the loss is high, and whether it is so high that one step is enough."""
        if len(self._history) < SPIKE_LEAST:
            return False, False
        self.usual = median(self._history)
        spread = 1.4826 * median(abs(value - self.usual) for value in self._history)  # a standard deviation, robustly
        high = loss > max(self.usual + SPIKE_SPREADS * spread, SPIKE_RATIO * self.usual)
        sure = loss > max(self.usual + SPIKE_SURE_SPREADS * spread, SPIKE_SURE_RATIO * self.usual)
        return high, sure


class _Stall:
    """How long a step usually takes, as lines come: in sink mode one line stands for several steps."""

    def __init__(self) -> None:
        self.step = 0
        self.usual = 0.0  # seconds from line to line
        self.saving = False
        self._seconds: Deque[float] = deque(maxlen=SPIKE_HISTORY)
        self._clock: Optional[float] = None
        self._all_done = False

    def take(self, point: MetricPoint, clock: float) -> None:
        """A line came."""
        if self._clock is not None and point.step > self.step:
            self._seconds.append(point.per_step_ms * (point.step - self.step) / 1000)
        self.step, self._clock, self.saving = point.step, clock, False
        self._all_done = point.step >= point.steps

    def silent(self, clock: float) -> Optional[float]:
        """Seconds since the last line where that is far too long, else None."""
        if self._clock is None or self._all_done or len(self._seconds) < STALL_LEAST_STEPS:
            return None
        self.usual = median(self._seconds)
        least = STALL_SAVING_SECONDS if self.saving else STALL_LEAST_SECONDS
        silent = clock - self._clock
        return silent if silent > max(least, STALL_TIMES * self.usual) else None


class _Speed:
    """Step times by blocks: the newest beside the median of all before it."""

    def __init__(self) -> None:
        self._block: list[float] = []
        self._blocks: list[float] = []

    def take(self, point: MetricPoint) -> Optional[float]:
        """At the end of a block, once there are enough: its step time as a share of the usual one."""
        if point.compiled:
            return None
        self._block.append(point.per_step_ms)
        if len(self._block) < SPEED_STEPS or sum(self._block) < SPEED_LEAST_MS:
            return None
        time, self._block = median(self._block), []
        usual = median(self._blocks) if len(self._blocks) >= SPEED_BLOCKS else 0.0
        self._blocks.append(time)
        if len(self._blocks) > SPEED_KEPT:
            del self._blocks[::2]
        return time / usual if usual else None


class _Ranks:
    """Each rank's time beside that of the others in the very same steps: all are slow while the host is busy."""

    def __init__(self) -> None:
        self.expected = 2
        self._ranks: set[int] = set()
        self._waiting: dict[int, dict[int, float]] = {}  # step to times by rank
        self._whole: Deque[dict[int, float]] = deque(maxlen=RANK_STEPS)

    def take(self, rank: int, step: int, per_step_ms: float) -> Optional[tuple[int, float, float]]:
        """The slowest rank, its usual time and that of the others; None while it cannot be told."""
        self._ranks.add(rank)
        times = self._waiting.setdefault(step, {})
        times[rank] = per_step_ms
        if len(self._waiting) > RANK_WAITING:
            del self._waiting[next(iter(self._waiting))]
        if len(times) < max(2, self.expected, len(self._ranks)):
            return None
        self._whole.append(self._waiting.pop(step))
        if len(self._whole) < RANK_STEPS or any(len(whole) < len(self._ranks) for whole in self._whole):
            return None
        usual = {r: sum(whole[r] for whole in self._whole) / RANK_STEPS for r in self._ranks}
        slowest = max(usual, key=lambda r: usual[r])
        return slowest, usual[slowest], median(value for r, value in usual.items() if r != slowest)
