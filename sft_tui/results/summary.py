"""Summarises a training run: loss at both ends, perplexity before and after, where the checkpoint is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional, TypeVar

from sft_tui.errors import InvalidInputError
from sft_tui.files.saved_states import last_of_rank_0
from sft_tui.logs.tail import iterate_lines
from sft_tui.logs.training_log import FACT_WORDS, Perplexity, TrainingStep, parse_line

SUMMARY_SCHEMA_VERSION = 1
SAME_RUN_SECONDS = 60
_Fact = TypeVar("_Fact", TrainingStep, Perplexity)


@dataclass(frozen=True)
class RunSummary:
    """Losses are per token (natural logarithm); None: not measured."""

    run_dir: str
    checkpoint: str
    steps: int
    first_loss: Optional[float]
    last_loss: Optional[float]
    perplexity_before: Optional[float]
    perplexity_after: Optional[float]
    schema_version: int = SUMMARY_SCHEMA_VERSION
    exported: str = ""  # the fine-tuned model as a Hugging Face folder

    @property
    def gained(self) -> Optional[bool]:
        """Perplexity on held-out data fell; None: not measured."""
        if self.perplexity_before is None or self.perplexity_after is None:
            return None
        return self.perplexity_after < self.perplexity_before

    def to_json(self) -> dict[str, object]:
        """The summary as a JSON object."""
        values = {**asdict(self), "gained": self.gained}
        # a loss may be NaN or infinite, JSON cannot
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = [f"checkpoint: {self.checkpoint}"]
        if self.first_loss is not None:
            lines.append(
                f"training loss: {self.first_loss:.3f} at the first step, {self.last_loss:.3f} at step {self.steps}"
            )
        if self.perplexity_before is not None and self.perplexity_after is not None:
            lines.append(
                f"perplexity on held-out data: {self.perplexity_before:.2f} before, {self.perplexity_after:.2f} after"
            )
        elif self.perplexity_before is not None:
            lines.append(
                f"perplexity on held-out data: {self.perplexity_before:.2f} before; this checkpoint: not measured"
            )
        else:
            lines.append("perplexity on held-out data: not measured")
        if self.exported:  # the direct route, which measures the loss itself
            before, after = (math.log(v) if v else None for v in (self.perplexity_before, self.perplexity_after))
            if before is not None and after is not None:
                lines.append(f"loss on held-out data: {before:.3f} before, {after:.3f} after")
            lines.append(f"Hugging Face folder: {self.exported}")
        if self.gained is False:
            lines.append("warning: the model is no better on held-out data than before")
        return lines


def build_summary(run_dir: Path) -> RunSummary:
    """Read the logs of the run below `log/`. Raises InvalidInputError where there was no run."""
    checkpoint = newest_checkpoint(run_dir / "checkpoint_network")
    if checkpoint is None:
        raise InvalidInputError(
            f"{run_dir} has no fine-tuned checkpoint.", "Name the folder of a run: WORK_DIR/runs/NAME."
        )
    training = _run_that_made(_saved_at(checkpoint, run_dir), _facts(run_dir / "log" / "train", TrainingStep))
    before = _facts(run_dir / "log" / "evaluate-before", Perplexity)
    after = _facts(run_dir / "log" / "evaluate-after", Perplexity)
    return RunSummary(
        run_dir=str(run_dir),
        checkpoint=str(checkpoint),
        steps=training[-1].global_step if training else 0,
        first_loss=training[0].loss if training else None,
        last_loss=training[-1].loss if training else None,
        perplexity_before=before[-1].perplexity if before else None,
        perplexity_after=after[-1].perplexity if after and _is_newer(run_dir, checkpoint) else None,
        exported=_exported(run_dir / "hf", checkpoint),
    )


def newest_checkpoint(folder: Path) -> Optional[Path]:
    """The last checkpoint of rank 0, or None. Of several `.ckpt` the newest, which MindFormers loads as well."""
    files = [p for p in folder.glob("rank_0/*.ckpt") if p.is_file()]
    last = last_of_rank_0(folder)
    return max([*files, *([last] if last else [])], key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)


def _exported(folder: Path, checkpoint: Path) -> str:
    """The folder, if it was written after the checkpoint."""
    config = folder / "config.json"
    is_of_it = config.is_file() and config.stat().st_mtime >= checkpoint.stat().st_mtime
    return str(folder) if is_of_it else ""


def _is_newer(run_dir: Path, checkpoint: Path) -> bool:
    """The last evaluation came after the checkpoint: otherwise it measured an earlier one."""
    logs = (run_dir / "log" / "evaluate-after").glob("rank_*/info.log")
    return any(log.stat().st_mtime >= checkpoint.stat().st_mtime for log in logs)


def _saved_at(checkpoint: Path, run_dir: Path) -> str:
    """Epoch and step of the weights, `<epoch>_<step>`, as their name ends.

    MindFormers up to 1.3 has one file of weights, `-network.ckpt`, and writes it anew with each state of the training.
    """
    if checkpoint.stem.endswith("-network"):
        states = [path for path in (run_dir / "checkpoint" / "rank_0").glob("*_*.ckpt") if path.is_file()]
        checkpoint = max(states, key=lambda path: (path.stat().st_mtime_ns, path.name), default=checkpoint)
    return checkpoint.stem.rpartition("-")[2]


def _run_that_made(saved_at: str, steps: list[TrainingStep]) -> list[TrainingStep]:
    """The steps of the newest run that came as far as the checkpoint, `<epoch>_<step>`.

    MindFormers appends to its log: a first step begins a later run, which may have been stopped before it saved
    anything; another step that does not count on belongs to a run that was resumed.
    """
    runs: list[list[TrainingStep]] = []
    for step in steps:
        if not runs or step.global_step == 1:
            runs.append([])
        # a run that was resumed does again what came after its checkpoint
        while runs[-1] and step.global_step <= runs[-1][-1].global_step:
            runs[-1].pop()
        runs[-1].append(step)
    epoch, _, last = saved_at.partition("_")
    for run in reversed(runs):
        if any((str(s.epoch), str(s.step)) == (epoch, last) for s in run):
            return run
    return []


def _facts(log_dir: Path, kind: type[_Fact]) -> list[_Fact]:
    """Facts from `rank_<r>/info.log` of the highest rank that took part in the newest run."""
    found = (p for p in log_dir.glob("rank_*/info.log") if p.parent.name[5:].isdecimal())
    logs = sorted(found, key=lambda p: int(p.parent.name[5:]))
    if not logs:
        return []
    newest = max(p.stat().st_mtime for p in logs)
    # an earlier run with more workers leaves the logs of its higher ranks
    log = [p for p in logs if newest - p.stat().st_mtime < SAME_RUN_SECONDS][-1]
    return [fact for fact in map(parse_line, iterate_lines(log, FACT_WORDS)) if isinstance(fact, kind)]
