"""How the workers of a training share it: MindFormers' `parallel_config`, from the profile and a base YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sft_tui.core.profile import Profile, Switch


@dataclass(frozen=True)
class ParallelLayout:
    """Sizes under MindFormers' names; `data_parallel` is what the workers leave, at least 1.

    `accumulation` batches make one step: micro batches of a pipeline, else gradient_accumulation_steps.
    """

    data_parallel: int
    model_parallel: int
    pipeline_stage: int
    micro_batch_num: int
    expert_parallel: int
    accumulation: int
    interleave: int
    parallel_optimizer: bool
    recompute: bool

    @property
    def rows_factor(self) -> int:
        """Batches that a data parallel rank reads for one step."""
        return self.accumulation * self.interleave


def build_layout(profile: Profile, base: Mapping[str, Any]) -> ParallelLayout:
    """The profile's sizes; where it says 0 or auto, those of the base YAML (a parsed one, empty if there is none).

    On CPU MindFormers has data parallelism alone (its parallel_mode 0), and nothing of the rest. It accumulates neither
    there nor with one worker, and resets gradient_accumulation_steps to 1 in a pipeline.
    """
    training, workers = profile.training, profile.nodes.worker_num
    if profile.environment.device_target == "CPU":
        return ParallelLayout(workers, 1, 1, 1, 1, 1, 1, parallel_optimizer=False, recompute=False)
    given = _section(base, "parallel_config")
    model = training.model_parallel or _size(given, "model_parallel")
    stages = training.pipeline_stage or _size(given, "pipeline_stage")
    accumulated = training.gradient_accumulation_steps or _size(
        _section(base, "runner_config"), "gradient_accumulation_steps"
    )
    micro = training.micro_batch_num or max(stages, _size(given, "micro_batch_num") if stages > 1 else 1)
    return ParallelLayout(
        data_parallel=max(1, workers // (model * stages)),
        model_parallel=model,
        pipeline_stage=stages,
        micro_batch_num=micro,
        expert_parallel=training.expert_parallel or _size(given, "expert_parallel"),
        accumulation=micro if stages > 1 else accumulated if workers > 1 else 1,
        interleave=_size(base, "micro_batch_interleave_num"),
        parallel_optimizer=_switched(
            training.parallel_optimizer, _section(base, "parallel"), "enable_parallel_optimizer"
        ),
        recompute=_switched(training.recompute, _section(base, "recompute_config"), "recompute"),
    )


def _section(base: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = base.get(name)
    return found if isinstance(found, Mapping) else {}


def _size(section: Mapping[str, Any], name: str) -> int:
    found = section.get(name)
    return found if isinstance(found, int) and found > 0 else 1


def _switched(choice: Switch, section: Mapping[str, Any], name: str) -> bool:
    if choice == "auto":
        return bool(section.get(name, True))
    return choice == "on"
