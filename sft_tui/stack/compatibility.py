"""Which MindFormers runs with which MindSpore, and what differs between them. Facts measured, as data."""

from __future__ import annotations

from typing import Optional

from sft_tui.core.facts import StackTraits

TRAITS: tuple[StackTraits, ...] = (
    StackTraits("1.2", ("2.3",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.3", ("2.4",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.6", ("2.7",), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True, transformers="4.51.3"),
    StackTraits(
        "1.7", ("2.7.1", "2.7.2"), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True, transformers="4.51.3"
    ),
    # on CPU they lack the operator Barrier, which loading a checkpoint with several workers wants
    StackTraits("1.8", ("2.7.2",), "AdamW", betas_as_list=True, cpu=True, cpu_workers=False, transformers="4.57.1"),
    StackTraits("1.9", ("2.9",), "AdamW", betas_as_list=True, cpu=True, cpu_workers=False, transformers="4.57.1"),
)
KNOWN = ", ".join(f"{t.mindformers} (with MindSpore {' or '.join(t.mindspore)})" for t in TRAITS)


def find_traits(mindformers_version: str) -> Optional[StackTraits]:
    """What is known of a MindFormers version ("1.7.0"), or None."""
    for traits in TRAITS:
        if is_version(mindformers_version, traits.mindformers):
            return traits
    return None


def fits(traits: StackTraits, mindspore_version: str) -> bool:
    """The MindSpore is one that this MindFormers runs with."""
    return any(is_version(mindspore_version, prefix) for prefix in traits.mindspore)


def is_version(version: str, prefix: str) -> bool:
    """Whether a version is the prefix or one below it: 1.7.0 and 1.7rc1 are of 1.7, 1.70 is not."""
    return version == prefix or version.startswith((prefix + ".", prefix + "rc"))
