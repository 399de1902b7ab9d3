"""Reads what MindFormers, and our own converters, say of their progress in a log line.

The line formats are those of MindFormers 1.2 to 1.9 (`MFLossMonitor`, `CheckpointMonitor`, `EvalCallBack`,
`PerplexityMetric`, `load_param_into_net`).
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import Optional, Union

from sft_tui.core.progress import Progress

_STEP = re.compile(
    r"Epoch:\[\s*(?P<epoch>\d{1,12})/\s*(?P<epochs>\d{1,12})\], "
    r"step:\[\s*(?P<step>\d{1,12})/\s*(?P<steps>\d{1,12})\], "
    r"loss: {0,8}(?:\[(?P<loss_list>[^/\]]+)(?:/[^\]]+)?\]|(?P<loss>[^,\s]+)), "
    r"(?:\w+_loss: [^,\s]+, ){0,8}per_step_time: (?P<ms>\d{1,12})ms"  # lm_loss and its like: print_separate_loss
)
_LEARNING_RATE = re.compile(r"\blr: \[?\s*(?P<lr>[0-9.eE+-]+)")
_NORM = re.compile(r"global_norm: \[?\s*(?P<norm>[0-9.eE+-]+|nan|inf)\]?")
_OVERFLOW = re.compile(r"overflow cond: \[?\s*(True|False)")
_LOSS_SCALE = re.compile(r"loss_scale: \[?\s*(?P<scale>[0-9.eE+-]+|nan|inf)")
_SAVING = "......Saving ckpt......"  # CheckpointMonitor, once the step's loss is printed
_EVALUATED = re.compile(r"\bEval result: (?P<result>.{1,400}?), eval time is [0-9.]+ s")
_EVALUATED_LOSS = re.compile(r"loss['\"]?: (?P<loss>[0-9.eE+-]+)")
_PERPLEXITY = re.compile(
    r"PerplexityMetric = \{'PerplexityMetric': \{'loss': (?P<loss>[^,]+), 'PPL': (?P<ppl>[^}]+)\}\}"
)
# ours: launch/runtime/direct/held_out.py
_HELD_OUT = re.compile(r"\bheld-out loss: (?P<loss>[^,\s]+), perplexity: (?P<ppl>[^,\s]+), \d+ tokens")
_NOT_LOADED = re.compile(r"Network parameters are not loaded: (?P<lists>\(\[.*\], \[.*\]\))")
_PROGRESS = re.compile(
    r"^progress: (?P<label>.*?) ?(?<!\d)(?P<done>\d{1,18})/(?P<total>\d{1,18}) (?P<unit>[a-z]{1,20})\b"
)
MAX_FACT_LINE = 4096
_MAX_NUMBER = 40  # characters; more digits than a number has are no number of a training
# words of which each line that says something has one: what has none need not be looked at
FACT_WORDS = (
    b"per_step_time: ", b"PerplexityMetric = ", b"held-out loss: ", b"progress: ", b"sft-tui nodes: ", b"Saving ckpt",
    b"Eval result: ", b"parameters are not loaded: ",
)  # fmt: skip
NODE_NEWS = "sft-tui nodes: "  # begins a line of the head's log
# new adapters, and the caches of inference that ChatGLM2 has beside its own parameters: in no checkpoint
_IN_NO_CHECKPOINT = re.compile(r"mindpet_delta|lora_[abAB]\b|paged_attention_mgr\.(key|value)_cache")


@dataclass(frozen=True)
class TrainingStep:
    """One loss line. `step` counts within the epoch, as MindFormers prints it; times in milliseconds."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    per_step_ms: int
    learning_rate: Optional[float] = None
    global_norm: Optional[float] = None
    overflow: bool = False
    loss_scale: Optional[float] = None

    @property
    def global_step(self) -> int:
        """Steps done since the start of the run."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def global_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps


@dataclass(frozen=True)
class Perplexity:
    """What an evaluation measured."""

    loss: float
    perplexity: float


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is being saved, after the step that was told last."""


@dataclass(frozen=True)
class EvaluatedMeanwhile:
    """An evaluation in between (`do_eval`); the loss is None where its metric is another one."""

    loss: Optional[float]


@dataclass(frozen=True)
class LoadedWeights:
    """Which parameters of the network got nothing from the checkpoint (but new adapters and caches of inference)."""

    not_loaded: tuple[str, ...]


@dataclass(frozen=True)
class NodeNews:
    """What the head says of the nodes of a training."""

    text: str


LogFact = Union[TrainingStep, Perplexity, CheckpointSaved, EvaluatedMeanwhile, LoadedWeights, Progress, NodeNews]


def parse_line(line: str) -> Optional[LogFact]:
    """What one log line says, or None where it says nothing we count. Never raises."""
    # only the list of parameters is ever long; a bound keeps the patterns fast on a line that never ends
    head = line[:MAX_FACT_LINE]
    try:
        if match := _STEP.search(head):
            return _training_step(match, head)
        if match := _PERPLEXITY.search(head) or _HELD_OUT.search(head):
            return Perplexity(_number(match["loss"]), _number(match["ppl"]))
        if match := _PROGRESS.match(head):
            return Progress(int(match["done"]), int(match["total"]), match["unit"], match["label"])
        if head.startswith(NODE_NEWS):
            return NodeNews(head[len(NODE_NEWS) :].strip())
        if _SAVING in head:
            return CheckpointSaved()
        if match := _EVALUATED.search(head):
            found = _EVALUATED_LOSS.search(match["result"])
            return EvaluatedMeanwhile(_number(found["loss"]) if found else None)
    except ValueError:
        return None  # a torn line; the next one tells more
    if match := _NOT_LOADED.search(line):
        return _loaded_weights(match["lists"])
    return None


def _training_step(match: re.Match[str], line: str) -> TrainingStep:
    rest = line[match.end() :]
    rate, norm, overflow = _LEARNING_RATE.search(rest), _NORM.search(rest), _OVERFLOW.search(rest)
    scale = _LOSS_SCALE.search(rest)  # "unavailable" without loss scaling
    return TrainingStep(
        epoch=int(match["epoch"]),
        epochs=int(match["epochs"]),
        step=int(match["step"]),
        steps=int(match["steps"]),
        loss=_number(match["loss_list"] or match["loss"]),
        per_step_ms=int(match["ms"]),
        learning_rate=_number(rate["lr"]) if rate else None,
        global_norm=_number(norm["norm"]) if norm else None,
        overflow=bool(overflow and overflow[1] == "True"),
        loss_scale=_number(scale["scale"]) if scale else None,
    )


def _number(text: str) -> float:
    """Raises ValueError for what no training prints: infinity is one only where the line says so."""
    text = text.strip().rstrip(".")
    value = float(text) if len(text) <= _MAX_NUMBER else math.inf
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError(f"no number of a training: {text[:_MAX_NUMBER]}")
    return value


def _loaded_weights(text: str) -> Optional[LoadedWeights]:
    try:
        lists = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return LoadedWeights(tuple(str(name) for name in lists[0] if not _IN_NO_CHECKPOINT.search(str(name))))
