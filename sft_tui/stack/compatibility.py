"""Which MindFormers runs with which MindSpore, and what differs between them. Facts measured, as data."""

from __future__ import annotations

from typing import Literal, Optional

from sft_tui.core.facts import Route, StackTraits

TRAITS: tuple[StackTraits, ...] = (
    StackTraits("1.2", ("2.3",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.3", ("2.4",), "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    StackTraits("1.6", ("2.7",), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True),
    StackTraits("1.7", ("2.7.1", "2.7.2"), "AdamW", betas_as_list=True, cpu=True, graceful_exit=True),
    # on CPU they lack the operator Barrier, which loading a checkpoint with several workers wants
    StackTraits("1.8", ("2.7.2",), "AdamW", betas_as_list=True, cpu=True, cpu_workers=False),
    StackTraits("1.9", ("2.9",), "AdamW", betas_as_list=True, cpu=True, cpu_workers=False),
)
KNOWN = ", ".join(f"{t.mindformers} (with MindSpore {' or '.join(t.mindspore)})" for t in TRAITS)

Need = Literal["ckpt", "folder", "no training"]
VERSIONS = ("1.2", "1.3", "1.6", "1.7", "1.8", "1.9")

# model_type of config.json -> MindFormers versions whose training configurations (configs/, research/) start from a
# .ckpt, and those whose training loads the Hugging Face folder directly
CKPT_ROUTE: dict[str, tuple[str, ...]] = {
    "llama": VERSIONS,
    "qwen2": VERSIONS,  # research/qwen1_5, qwen2, qwen2_5
    "gpt2": ("1.2", "1.3"),
}
DIRECT_ROUTE: dict[str, tuple[str, ...]] = {
    "qwen3": ("1.7", "1.8", "1.9"),
    "qwen3_moe": ("1.7", "1.8", "1.9"),
    "deepseek_v3": ("1.9",),
}


def find_traits(mindformers_version: str) -> Optional[StackTraits]:
    """What is known of a MindFormers version ("1.7.0"), or None."""
    for traits in TRAITS:
        if is_version(mindformers_version, traits.mindformers):
            return traits
    return None


def fits(traits: StackTraits, mindspore_version: str) -> bool:
    """The MindSpore is one that this MindFormers runs with."""
    return any(is_version(mindspore_version, prefix) for prefix in traits.mindspore)


def find_route(family: str, mindformers_version: str) -> Route:
    """Checkpoint route or direct route."""
    direct = any(is_version(mindformers_version, prefix) for prefix in DIRECT_ROUTE.get(family, ()))
    return "direct" if direct else "checkpoint"


def weight_needs(model_type: str, version: str = "") -> dict[str, Need]:
    """What MindFormers wants to train such a model from: for that version, or for each one known.

    Empty when the model is not known to any version.
    """
    if model_type not in CKPT_ROUTE and model_type not in DIRECT_ROUTE:
        return {}
    return {known: _weight_need(model_type, known) for known in ((version,) if version else VERSIONS)}


def _weight_need(model_type: str, version: str) -> Need:
    if find_route(model_type, version) == "direct":
        return "folder"
    found = any(is_version(version, prefix) for prefix in CKPT_ROUTE.get(model_type, ()))
    return "ckpt" if found else "no training"


def describe_weight_needs(needs: dict[str, Need]) -> list[str]:
    """A line for each thing that some version wants."""
    texts: dict[Need, str] = {
        "ckpt": "wants a .ckpt: sft-tui convert-weight",
        "folder": "loads this folder as it is: nothing is to be converted",
        "no training": "has no training configuration for this model",
    }
    lines = []
    for need, text in texts.items():
        versions = [version for version, found in needs.items() if found == need]
        if versions:
            lines.append(f"MindFormers {', '.join(versions)} {text}")
    return lines


def is_version(version: str, prefix: str) -> bool:
    """Whether a version is the prefix or one below it: 1.7.0 and 1.7rc1 are of 1.7, 1.70 is not."""
    return version == prefix or version.startswith((prefix + ".", prefix + "rc"))
