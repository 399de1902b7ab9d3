"""`initialize_model_parallel`: groups of workers that share a model; with a whole model in each there are none."""

from __future__ import annotations

from mindformers.parallel_core.training_graph.base_models.gpt import gpt_model


def no_groups(**_sizes: int) -> None:
    """MindFormers' own wants the sizes to make up all workers, which its data parallel mode (0) does not say."""


def install() -> None:
    """The network of GPT's kind has taken the name already. Versions that do not call it there have no such name."""
    if hasattr(gpt_model, "initialize_model_parallel"):
        gpt_model.initialize_model_parallel = no_groups
