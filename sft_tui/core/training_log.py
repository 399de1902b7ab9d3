"""Reads what MindFormers, and our own converters, say of their progress in a log line.

The line formats are those of MindFormers 1.2 to 1.9 (`MFLossMonitor`, `PerplexityMetric`, `load_param_into_net`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Iterable, Optional, Union

from sft_tui.core.progress import Progress

_STEP = re.compile(
    r"Epoch:\[\s*(?P<epoch>\d+)/\s*(?P<epochs>\d+)\], step:\[\s*(?P<step>\d+)/\s*(?P<steps>\d+)\], "
    r"loss: ?(?:\[(?P<loss_list>[^/\]]+)(?:/[^\]]+)?\]|(?P<loss>[^,\s]+)), per_step_time: (?P<ms>\d+)ms"
)
_LEARNING_RATE = re.compile(r"\blr: (?P<lr>[0-9.eE+-]+)")
_NORM = re.compile(r"global_norm: \[?(?P<norm>[0-9.eE+-]+|nan|inf)\]?")
_OVERFLOW = re.compile(r"overflow cond: (True|False)")
_PERPLEXITY = re.compile(
    r"PerplexityMetric = \{'PerplexityMetric': \{'loss': (?P<loss>[^,]+), 'PPL': (?P<ppl>[^}]+)\}\}"
)
_NOT_LOADED = re.compile(r"Network parameters are not loaded: (?P<lists>\(\[.*\], \[.*\]\))")
_PROGRESS = re.compile(r"^progress: (?P<label>.*?) ?(?P<done>\d+)/(?P<total>\d+) (?P<unit>[a-z]+)\b")
_EXCEPTION = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?::|$)|^sft-tui: error")
_ERROR = re.compile(r"\[(?:ERROR|CRITICAL)\]| - (?:ERROR|CRITICAL) - |\bcommand not found\b|^Killed$")
_PET_PARAMETER = re.compile(r"mindpet_delta|lora_[ab]\b")


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
class LoadedWeights:
    """Which parameters of the network got nothing from the checkpoint (new LoRA parameters left out)."""

    not_loaded: tuple[str, ...]


LogFact = Union[TrainingStep, Perplexity, LoadedWeights, Progress]


def parse_line(line: str) -> Optional[LogFact]:
    """What one log line says, or None where it says nothing we count."""
    if match := _STEP.search(line):
        return _training_step(match, line)
    if match := _PERPLEXITY.search(line):
        return Perplexity(_number(match["loss"]), _number(match["ppl"]))
    if match := _NOT_LOADED.search(line):
        return _loaded_weights(match["lists"])
    if match := _PROGRESS.match(line):
        return Progress(int(match["done"]), int(match["total"]), match["unit"], match["label"])
    return None


def _training_step(match: re.Match[str], line: str) -> Optional[TrainingStep]:
    rate, norm, overflow = _LEARNING_RATE.search(line), _NORM.search(line), _OVERFLOW.search(line)
    try:
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
        )
    except ValueError:
        return None  # a torn line; the next one tells more


def _number(text: str) -> float:
    return float(text.strip().rstrip("."))


def _loaded_weights(text: str) -> Optional[LoadedWeights]:
    try:
        lists = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return LoadedWeights(tuple(str(name) for name in lists[0] if not _PET_PARAMETER.search(str(name))))


def first_error_line(lines: Iterable[str]) -> str:
    """The line that says why a step failed: the first exception message, else the first error, else the last line.

    MindSpore prints an exception's name alone on its line at times; then the next line that says something follows it.
    """
    error = last = ""
    rows = iter(lines)
    for row in rows:
        line = row.strip()
        if _EXCEPTION.match(row):
            if line.endswith(":"):
                line += " " + next((more.strip(" -\n") for more in rows if more.strip(" -\n")), "")
            return line
        if not error and _ERROR.search(row):
            error = line
        last = line or last
    return error or last
