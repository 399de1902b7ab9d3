"""Which way MindFormers trains a model, by family and version, as data; and why not, where it does not.

A test compares every row with the files of each version's source tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional

from sft_tui.core.facts import Route
from sft_tui.core.problem import Problem
from sft_tui.stack.releases import is_version

Need = Literal["ckpt", "folder", "no training"]
Labels = Literal["as tokens", "shifted"]
VERSIONS = ("1.2", "1.3", "1.6", "1.7", "1.8", "1.9")
_FIRST, _SECOND, _LAST = VERSIONS[:2], VERSIONS[2:3], VERSIONS[3:]
_INFERS = "it has this model for inference only"


@dataclass(frozen=True)
class FamilyRoutes:
    """How versions of MindFormers train a family (model_type of config.json).

    `checkpoint`: from a .ckpt; `direct`: from the Hugging Face folder itself. `refused` says of every other version why
    it does not. `rehearsed`: a whole training was seen to work on CPU.
    """

    title: str
    checkpoint: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    refused: tuple[tuple[tuple[str, ...], str], ...] = ()
    rehearsed: bool = False

    @property
    def labels(self) -> Labels:
        """The label of a place: the token there (the network shifts), or the one behind it (it does not)."""
        return "shifted" if self.direct else "as tokens"


ROUTES: dict[str, FamilyRoutes] = {
    "llama": FamilyRoutes("Llama", checkpoint=VERSIONS, rehearsed=True),
    # research/qwen1_5, qwen2, qwen2_5
    "qwen2": FamilyRoutes("Qwen2", checkpoint=VERSIONS),
    "gpt2": FamilyRoutes("GPT-2", checkpoint=_FIRST, refused=((VERSIONS[2:], "it no longer has this model"),)),
    "qwen3": FamilyRoutes(
        "Qwen3",
        direct=_LAST,
        refused=((_FIRST, "it is older than the model"), (_SECOND, _INFERS)),
        rehearsed=True,
    ),
    "qwen3_moe": FamilyRoutes(
        "Qwen3-MoE",
        direct=_LAST,
        refused=((_FIRST, "it is older than the model"), (_SECOND, _INFERS)),
        rehearsed=True,
    ),
    # finetune_glm4_9b.yaml is for the GLM-4 before it, whose model_type is chatglm
    "glm4": FamilyRoutes(
        "GLM-4",
        refused=(
            (_FIRST, "it is older than the model"),
            (_SECOND, "it has only the GLM-4 before it (model_type chatglm)"),
            (_LAST, _INFERS),
        ),
    ),
    "deepseek_v3": FamilyRoutes(
        "DeepSeek-V3",
        direct=("1.9",),
        refused=((_FIRST, "it is older than the model"), (VERSIONS[2:5], "it has no training configuration for it")),
    ),
}


@dataclass(frozen=True)
class RouteChoice:
    """What a version of MindFormers does with a model: its route, or None and why.

    `versions` are those that train it; `rehearsed`: the route was seen to work on CPU.
    """

    route: Optional[Route]
    reason: str = ""
    versions: tuple[str, ...] = ()
    rehearsed: bool = False
    labels: Labels = "as tokens"


def choose_route(model_type: str, version: str) -> RouteChoice:
    """The route for a model under a version of MindFormers ("1.7.0"); a reason where there is none."""
    family = ROUTES.get(model_type)
    if family is None:
        return RouteChoice(None, f"no MindFormers that is known here trains the model type {model_type[:40]!r}")
    trained = tuple(known for known in VERSIONS if known in family.checkpoint + family.direct)
    if _is_one(version, family.direct):
        return RouteChoice("direct", "", trained, family.rehearsed, family.labels)
    if _is_one(version, family.checkpoint):
        return RouteChoice("checkpoint", "", trained, family.rehearsed, family.labels)
    why = next((text for versions, text in family.refused if _is_one(version, versions)), "")
    return RouteChoice(None, why or "that version is not known here", trained, labels=family.labels)


def find_route(family: str, mindformers_version: str) -> Route:
    """Checkpoint route or direct route; where there is none, the one that other versions take."""
    chosen = choose_route(family, mindformers_version).route
    known = ROUTES.get(family)
    return chosen or ("direct" if known and known.direct else "checkpoint")


def check_route(model_type: str, version: str) -> Optional[Problem]:
    """What to say when a version of MindFormers does not train a model that others do; nothing without a version."""
    if not version or not _is_one(version, VERSIONS) or model_type not in ROUTES:
        return None
    choice = choose_route(model_type, version)
    if choice.route is not None:
        return None
    title = ROUTES[model_type].title
    message = f"MindFormers {version} does not train {title}: {choice.reason}."
    hint = (
        f"MindFormers {', '.join(choice.versions)} does." if choice.versions else "No version that is known here does."
    )
    return Problem("environment.mindformers_home", message, hint, exit_code=4)


def weight_needs(model_type: str, version: str = "") -> dict[str, Need]:
    """What MindFormers wants to train such a model from: for that version, or for each one known.

    Empty when the model is not known to any version.
    """
    if model_type not in ROUTES:
        return {}
    needs: dict[Optional[Route], Need] = {"direct": "folder", "checkpoint": "ckpt", None: "no training"}
    return {known: needs[choose_route(model_type, known).route] for known in ((version,) if version else VERSIONS)}


def describe_weight_needs(model_type: str, needs: dict[str, Need]) -> list[str]:
    """A line for each thing that some version wants."""
    texts: dict[Need, str] = {
        "ckpt": "wants a .ckpt: sft-tui convert-weight",
        "folder": "loads this folder as it is: nothing is to be converted",
    }
    if model_type in ROUTES and not ROUTES[model_type].rehearsed:
        texts["folder"] += " (not rehearsed on CPU)"
    lines = []
    for need, text in texts.items():
        versions = [version for version, found in needs.items() if found == need]
        if versions:
            lines.append(f"MindFormers {', '.join(versions)} {text}")
    without: dict[str, list[str]] = {}
    for version in (version for version, found in needs.items() if found == "no training"):
        without.setdefault(choose_route(model_type, version).reason, []).append(version)
    return lines + [f"MindFormers {', '.join(told)} does not train it: {reason}" for reason, told in without.items()]


def trained_families(version: str) -> dict[Route, list[str]]:
    """The titles of the families that a version trains, by route."""
    found: dict[Route, list[str]] = {"checkpoint": [], "direct": []}
    for model_type, family in ROUTES.items():
        choice = choose_route(model_type, version)
        if choice.route is not None:
            marked = choice.rehearsed or choice.route == "checkpoint"
            found[choice.route].append(family.title if marked else f"{family.title} (not rehearsed on CPU)")
    return found


def _is_one(version: str, prefixes: tuple[str, ...]) -> bool:
    return any(is_version(version, prefix) for prefix in prefixes)
