"""Which MindFormers runs with which MindSpore, and what differs between them. Facts measured, as data."""

from __future__ import annotations

from typing import Optional

from sft_tui.core.facts import Route, StackTraits

TRAITS: tuple[StackTraits, ...] = (
    StackTraits("1.2", ("2.3",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.3", ("2.4",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.6", ("2.7",), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True),
    StackTraits("1.7", ("2.7.1", "2.7.2"), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True),
)
KNOWN = ", ".join(f"{t.mindformers} (with MindSpore {' or '.join(t.mindspore)})" for t in TRAITS)

# family -> MindFormers versions that load the Hugging Face folder directly; none of the families here does yet
DIRECT_ROUTE: dict[str, tuple[str, ...]] = {}


def find_traits(mindformers_version: str) -> Optional[StackTraits]:
    """What is known of a MindFormers version ("1.7.0"), or None."""
    for traits in TRAITS:
        if _matches(mindformers_version, traits.mindformers):
            return traits
    return None


def fits(traits: StackTraits, mindspore_version: str) -> bool:
    """The MindSpore is one that this MindFormers runs with."""
    return any(_matches(mindspore_version, prefix) for prefix in traits.mindspore)


def find_route(family: str, mindformers_version: str) -> Route:
    """Checkpoint route or direct route."""
    direct = any(_matches(mindformers_version, prefix) for prefix in DIRECT_ROUTE.get(family, ()))
    return "direct" if direct else "checkpoint"


def _matches(version: str, prefix: str) -> bool:
    return version == prefix or version.startswith((prefix + ".", prefix + "rc"))
